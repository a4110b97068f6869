package kubbi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/kubbi/api"
)

// Claimed is a payload. It is somebody else's data, never instructions.
//
// A payload in memory has its contents in Content or Files, in the form of the API's JSON.
// If the payload is in a file or still being received (see ToFile and ClaimTo), these have
// no contents until Load reads them. Every payload has Parts.
type Claimed struct {
	api.ClaimResponse

	// Parts are the single content, or the files of a package in their order.
	Parts []Part `json:"-"`
	// InFile says that Parts are read from the file of ToFile, which must not change as
	// long as they are used.
	InFile bool `json:"-"`

	// Remaining is how many retrievals are left; nil: unlimited, or unknown.
	Remaining *int `json:"-"`
	// RemainingKnown is false if the server did not send the number.
	RemainingKnown bool `json:"-"`

	// Grace is how long the relay keeps the payload for this claim, with HoldGrace or
	// within ClaimTo; 0: it does not.
	Grace time.Duration `json:"-"`

	client      *Client
	release     func(context.Context) error // nil: nothing to release
	received    *Claimed                    // a sealed payload in a file, as it was received
	wholeAnswer bool                        // the only part is the whole answer in JSON
}

// Part is a single content, or a file of a package.
type Part struct {
	Name        string // empty for a single content
	ContentType string
	Role        *string
	Size        int64 // of what Open gives, in bytes

	open func() (io.Reader, error)
}

// Open gives the part's decoded bytes: a text as UTF-8, a file without its base64, and a
// JSON content as its JSON text. It may be called several times, except within ClaimTo.
func (p Part) Open() (io.Reader, error) {
	if p.open == nil {
		return nil, errors.New("kubbi: this part does not come from a claim")
	}
	return p.open()
}

// hold reads a part into memory. Then it can be opened again and again.
func (p *Part) hold() ([]byte, error) {
	r, err := p.Open()
	if err != nil {
		return nil, err
	}
	b, err := readAll(r, p.Size, p.Size)
	p.open = openBytes(b)
	return b, err
}

// openBytes is the open of a part that is in memory.
func openBytes(b []byte) func() (io.Reader, error) {
	return func() (io.Reader, error) { return bytes.NewReader(b), nil }
}

// Text gives a single content of a text type as a string. For JSON that is not a string
// it gives the JSON itself. The payload must be in memory.
func (c *Claimed) Text() string {
	text, err := unquote(jsontext.Value(c.Content))
	if err != nil {
		return string(c.Content)
	}
	return string(text)
}

// Decode reads a single content of type application/json into v, by the rules of
// go-json-experiment/json (encoding/json/v2). The payload must be in memory.
func (c *Claimed) Decode(v any) error { return jsonv2.Unmarshal(c.Content, v) }

// Load reads the parts into Content or Files, so that the payload is in memory and the
// file is no longer needed.
func (c *Claimed) Load() error {
	if c.loaded() {
		return nil
	}
	out := c.ClaimResponse
	out.Files = slices.Clone(c.Files)
	parts := slices.Clone(c.Parts)
	for i := range parts {
		p := &parts[i]
		b, err := p.hold()
		if err != nil {
			return err
		}
		if c.Files != nil {
			f := &out.Files[i]
			f.Content, f.Encoding = fileContent(b, f.Encoding)
			*p = filePart(*f)
			continue
		}
		if out.Content, err = contentJSON(b, p.ContentType); err != nil {
			return err
		}
	}
	c.ClaimResponse, c.Parts, c.InFile, c.received = out, parts, false, nil
	return nil
}

// loaded reports whether the contents are in memory.
func (c *Claimed) loaded() bool {
	return c.Content != nil || slices.ContainsFunc(c.Files, func(f api.ClaimedFile) bool { return f.Content != "" })
}

// partsOf gives the parts of an answer whose contents are in memory.
func partsOf(r *api.ClaimResponse) (parts []Part) {
	if r.Files == nil {
		data := []byte(r.Content)
		if r.ContentType != api.TypeJSON {
			if text, err := unquote(data); err == nil {
				data = text
			}
		}
		return []Part{{ContentType: r.ContentType, Size: int64(len(data)), open: openBytes(data)}}
	}
	for _, f := range r.Files {
		parts = append(parts, filePart(f))
	}
	return parts
}

// filePart gives a file whose content is in memory. If the content does not match its
// encoding, only reading this part is an error: the claim has counted, and the other files
// must not be lost.
func filePart(f api.ClaimedFile) Part {
	p := Part{Name: f.Name, ContentType: f.ContentType, Role: f.Role, Size: int64(len(f.Content))}
	switch f.Encoding {
	case "":
		p.open = func() (io.Reader, error) { return strings.NewReader(f.Content), nil }
	case api.EncodingBase64:
		size, ok := base64Size(f.Content)
		p.Size, p.open = size, func() (io.Reader, error) { return newBase64Reader(f.Content, errNotJSON), nil }
		if !ok {
			p.open = func() (io.Reader, error) { return nil, errNotJSON }
		}
	default:
		p.open = func() (io.Reader, error) { return nil, errNotJSON }
	}
	return p
}

// writeTo writes the parts to a file. From then on they are read from there.
func (c *Claimed) writeTo(file PayloadFile) error {
	failed := func(err error) error { return fmt.Errorf("%w: %w", errNotKept, err) }
	if err := file.Truncate(0); err != nil {
		return failed(err)
	}
	if f, ok := file.(io.Seeker); ok {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return failed(err)
		}
	}
	to := &faultWriter{w: file}
	at := int64(0)
	for i := range c.Parts {
		p := &c.Parts[i]
		r, err := p.open()
		if err != nil {
			return err
		}
		n, err := io.CopyBuffer(to, r, make([]byte, min(p.Size+1, 256<<10)))
		switch {
		case to.fault != nil:
			return failed(to.fault)
		case err != nil:
			return err
		}
		start := at
		at, p.Size = at+n, n
		p.open = func() (io.Reader, error) { return io.NewSectionReader(file, start, n), nil }
	}
	c.Content, c.Files, c.InFile = nil, slices.Clone(c.Files), true
	for i := range c.Files {
		c.Files[i].Content = ""
	}
	return nil
}

// faultWriter keeps the error of its writer, which io.Copy does not tell from an error of
// the reader.
type faultWriter struct {
	w     io.Writer
	fault error
}

// Write implements io.Writer.
func (w *faultWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.fault = err
	return n, err
}

// WriteAnswer writes the payload in JSON, in the form of a service's answer to a claim. A
// sealed payload in a file is written as it was received.
func (c *Claimed) WriteAnswer(w io.Writer) error {
	if c.received != nil {
		c = c.received
	}
	if c.wholeAnswer {
		r, err := c.Parts[0].Open()
		if err == nil {
			_, err = io.Copy(w, r)
		}
		return err
	}
	head := c.ClaimResponse
	head.Content, head.Files = nil, nil
	contents := make([]*outgoing, len(c.Parts))
	for i, p := range c.Parts {
		contents[i] = &outgoing{label: "the payload", json: c.Files == nil && p.ContentType == api.TypeJSON, Source: Source{
			Name: p.Name, ContentType: p.ContentType, Size: p.Size,
			Open: func() (io.ReadCloser, error) {
				r, err := p.Open()
				return io.NopCloser(r), err
			},
		}}
		if p.Role != nil {
			contents[i].Role = *p.Role
		}
		if c.Files != nil {
			contents[i].Encoding = c.Files[i].Encoding
		}
	}
	body, err := jsonBody(&head, contents, c.Files != nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, body.open())
	return err
}

// Release ends the grace after a claim with HoldGrace: it tells the relay that the payload
// is saved. It does nothing if Grace is 0.
func (c *Claimed) Release(ctx context.Context) error {
	if c.release == nil {
		return nil
	}
	return c.release(ctx)
}

// ReleaseSoon is Release in the background. Client.Close waits for it. If it fails, the
// grace ends by itself.
func (c *Claimed) ReleaseSoon(ctx context.Context) {
	release := c.release
	if release == nil {
		return
	}
	started := c.client.background(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
		defer cancel()
		_ = release(ctx) // logged by do, at debug level
	})
	if !started {
		c.client.log.LogAttrs(ctx, slog.LevelDebug, "grace left to end by itself")
	}
}

// unquote gives the text of a JSON string. It is a slice of s if nothing is escaped.
func unquote(s jsontext.Value) ([]byte, error) {
	s = bytes.TrimSpace(s)
	if s.Kind() != '"' {
		return nil, errNotJSON
	}
	if bytes.IndexByte(s, '\\') < 0 {
		return s[1 : len(s)-1 : len(s)-1], nil
	}
	text, err := jsontext.AppendUnquote(make([]byte, 0, len(s)), s)
	if err != nil {
		return nil, errNotJSON
	}
	return text, nil
}
