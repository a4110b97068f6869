// Package page writes what a person sees who opens a claim URL in a browser:
// what was sent, the payload after the button was pressed, or why there is
// nothing. It writes HTML and knows nothing of a relay.
//
// A payload is somebody else's, and may be made to deceive: it is shown as text
// or as a raster image and never as HTML, characters that can't be seen or that
// turn others around are made visible, and a policy forbids every script and
// style but the page's own two, known by their hashes.
package page

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"io"
	"net/http"
	"strings"
	"time"
)

// MaxShown is up to how many bytes a payload is shown on a page without
// scripts. A larger one is better sent to be saved.
const MaxShown = 4 << 20

// Kubbi is what an inspect knows of one.
type Kubbi struct {
	Package     bool
	ContentType string // single content
	Files       []File // package
	Size        int64  // bytes
	Remaining   *int   // retrievals that are left; nil: unlimited
	ExpiresAt   time.Time
	Seal        *Seal // nil: not sealed
}

// File describes one file of a package.
type File struct {
	Name, ContentType, Role string
	Size                    int64
}

// Seal is what the metadata says of a kubbi that only its claim URL opens.
type Seal struct {
	Version int
	KID     string
}

// Preview is a page with the button. Showing it counts as nothing.
type Preview struct {
	Kubbi
	Claim string    // where the form is posted to
	Key   string    // makes the claim idempotent; new for each page
	Now   time.Time // the relay's
}

// Left is how many milliseconds are left.
func (p Preview) Left() int64 { return max(0, p.ExpiresAt.Sub(p.Now).Milliseconds()) }

// Large says whether a claim without scripts is answered with a file.
func (p Preview) Large() bool { return p.Size > MaxShown }

// Write writes the page.
func (p Preview) Write(w io.Writer) error { return pages.ExecuteTemplate(w, "preview", p) }

// SetHeaders sets what goes with the page.
func (p Preview) SetHeaders(h http.Header) {
	setHeaders(h, "script-src "+hashOf(script)+"; img-src data: blob:; connect-src 'self'; form-action 'self'")
}

func setHeaders(h http.Header, more string) {
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src "+hashOf(style)+"; "+more+
		"; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Robots-Tag", "noindex, nofollow, noarchive")
	h.Set("Permissions-Policy", "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

//go:embed *.html style.css icon.svg script/*.js
var files embed.FS

var (
	style  = asset("style.css")
	icon   = asset("icon.svg")
	script = asset("script/words.js", "script/json.js", "script/show.js", "script/zip.js", "script/sealed.js", "script/claim.js")
	pages  = template.Must(template.New("").Funcs(template.FuncMap{
		"style":  func() template.CSS { return template.CSS(style) },
		"script": func() template.JS { return template.JS(script) },
		"icon":   func() template.URL { return dataURL("image/svg+xml", []byte(icon)) },
		"bytes":  bytesOf, "when": when, "times": times, "kind": kind, "visible": visible, "plural": plural, "number": func(n *int) int { return *n },
	}).ParseFS(files, "*.html"))
)

// asset gives embedded files as one. That they are there is known when the
// program is built.
func asset(names ...string) string {
	var b strings.Builder
	for _, name := range names {
		data, err := files.ReadFile(name)
		if err != nil {
			panic(err)
		}
		b.Write(data)
	}
	return b.String()
}
