package page

import (
	"io"
	"net/http"
	"slices"
	"time"
)

// Relay says who runs the relay that a page comes from.
type Relay struct {
	Host string // of its public URL, with a port that is not the usual one
	Name string // as its operator calls it; may be empty

	Contact string // of its operator; may be empty
}

// Field is a value that a request asks for.
type Field struct {
	Name          string // letters, digits and "_"
	Secret, Lines bool
}

// Request is the page of a request for values or files. The answer is sealed in the browser
// for the owner of the public key in the link's fragment, and only its script can send it.
type Request struct {
	Relay     Relay
	Question  string // JSON, as a GET of the request answers; the answer is bound to it
	Message   string
	Fields    []Field
	Files     bool
	MaxFiles  int
	MaxBytes  int64 // of the sealed answer
	ExpiresAt time.Time
	Now       time.Time // by the relay's clock
}

// Left is how long the request can be answered, in milliseconds.
func (r Request) Left() int64 { return max(0, r.ExpiresAt.Sub(r.Now).Milliseconds()) }

// AllSecret reports whether each field is secret.
func (r Request) AllSecret() bool {
	return !slices.ContainsFunc(r.Fields, func(f Field) bool { return !f.Secret })
}

// Write writes the page.
func (r Request) Write(w io.Writer) error { return pages.ExecuteTemplate(w, "request", r) }

// SetHeaders sets the headers of the page.
func (r Request) SetHeaders(h http.Header) {
	setHeaders(h, "script-src "+hashOf(requestScript)+"; img-src data:; connect-src 'self'; form-action 'none'")
}
