// Package page writes the pages that a browser shows: for a claim URL a [Preview], which
// describes the kubbi, and a [Payload] after the claim; for a request URL a [Request], which
// seals the answer; for the relay itself a [Home], which sends; and a [Problem], which says why
// there is nothing else. The package only writes HTML and does not depend on the relay.
//
// A payload comes from somebody else and may try to deceive. It is shown as text or as a
// raster image, never as HTML. Characters that are invisible, or that reverse the text around
// them, are replaced by visible codes. A Content-Security-Policy with hashes allows only the
// page's own script and style.
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

// MaxShown is the largest payload that a page without scripts shows, in bytes. A larger one
// is sent as a download.
const MaxShown = 4 << 20

// Kubbi describes a kubbi, as an inspect does.
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

// Seal is the seal in the metadata of a sealed kubbi: see docs/wire.md.
type Seal struct {
	Version int
	KID     string
	To      bool // for a recipient's key, which no browser has
}

// Preview is the page with the button. Showing it does not count as a retrieval.
type Preview struct {
	Kubbi
	Relay Relay
	Says  []Said    // what the sender says about it: its metadata
	Claim string    // path that the form is posted to
	Key   string    // idempotency key of the claim; new for each page
	Now   time.Time // by the relay's clock
}

// Said is a member of the metadata.
type Said struct{ Name, Value string }

// Left is how long the kubbi can be claimed, in milliseconds.
func (p Preview) Left() int64 { return max(0, p.ExpiresAt.Sub(p.Now).Milliseconds()) }

// Large reports whether a claim without scripts is answered with a file.
func (p Preview) Large() bool { return p.Size > MaxShown }

// Write writes the page.
func (p Preview) Write(w io.Writer) error { return pages.ExecuteTemplate(w, "preview", p) }

// SetHeaders sets the headers of the page.
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
	script = asset("script/format.js", "script/page.js", "script/wire.js", "script/json.js", "script/copy.js", "script/show.js", "script/zip.js", "script/sealed.js", "script/claim.js")
	// The script of a request's page.
	requestScript = asset("script/format.js", "script/page.js", "script/wire.js", "script/hpke.js", "script/seal.js", "script/recipient.js", "script/post.js", "script/files.js", "script/request.js")

	// The script of the front page.
	homeScript = asset("script/format.js", "script/page.js", "script/wire.js", "script/seal.js", "script/post.js", "script/files.js", "script/copy.js", "script/qr.js", "script/home.js")

	pages = template.Must(template.New("").Funcs(template.FuncMap{
		"style":         func() template.CSS { return template.CSS(style) },
		"script":        func() template.JS { return template.JS(script) },
		"homeScript":    func() template.JS { return template.JS(homeScript) },
		"requestScript": func() template.JS { return template.JS(requestScript) },
		"icon":          func() template.URL { return dataURL("image/svg+xml", []byte(icon)) },
		"bytes":         formatSize, "when": formatTime, "times": formatTimes, "kind": formatType, "visible": visible, "plural": plural, "number": func(n *int) int { return *n },
	}).ParseFS(files, "*.html"))
)

// asset joins embedded files. It panics if one is missing, which any start of the program
// would show.
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
