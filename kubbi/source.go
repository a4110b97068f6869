package kubbi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/internal/content"
	"kubbi-mcp/kubbi/api"
)

// Source is a content or a file that is read while it is sent, so that it need
// not stand in memory.
type Source struct {
	Name        string // of a file; a single content has none
	ContentType string // of a single content: one of api.ContentTypes, empty for text/plain
	Role        string // of a file: empty, or one of api.Roles
	// Encoding is how it is sent: empty as text, for which its bytes must be
	// UTF-8, or api.EncodingBase64, for a file that need not be. A single content of
	// type application/json must be one JSON value.
	Encoding string
	Size     int64 // how many bytes Open's reader gives
	// Open gives the bytes as they are, from the start. It may be called again,
	// for another attempt. Reading must not block for ever.
	Open func() (io.ReadCloser, error)
}

// sourceBuffer is how much is read of a source at once: a multiple of 3, so
// that its base64 goes on where it ended.
const sourceBuffer = 48 << 10

// sourced is a source within a request's body.
type sourced struct {
	Source
	what string // for errors
	json bool   // sent as it is
	sum  []byte // SHA-256 of a JSON value that was found to be one
}

// wireSize is how long it is in the body, quotes aside; -1 if that is not known.
func (s *sourced) wireSize() int64 {
	switch {
	case s.json:
		return s.Size
	case s.Encoding == api.EncodingBase64:
		return (s.Size + 2) / 3 * 4
	}
	return -1
}

// check finds what would only surface while the body is sent.
func (s *sourced) check() error {
	if s.Size < 0 || s.Open == nil {
		return invalid("%s has no size or can't be opened", s.what)
	}
	return nil
}

// checkJSON reads a JSON value once to see that it is one: as a part of a request in
// JSON anything else could become another member of it.
func (s *sourced) checkJSON() error {
	if !s.json {
		return nil
	}
	r, err := s.open()
	if err != nil {
		return err
	}
	defer r.Close()
	h := sha256.New()
	if err := checkJSON(io.TeeReader(r, h)); err != nil {
		if r.fault != nil && r.fault != io.EOF {
			return r.fault
		}
		return invalid("%s is not one valid JSON value", s.what)
	}
	s.sum = h.Sum(nil)
	return nil
}

// open opens the source. What reading it gives is exactly Size bytes, or an
// error, which is an *Error.
func (s *sourced) open() (*sourceFile, error) {
	r, err := s.Open()
	if err != nil {
		return nil, s.failed(err)
	}
	f := &sourceFile{s: s, r: r, left: s.Size}
	if s.sum != nil {
		f.hash = sha256.New()
	}
	return f, nil
}

func (s *sourced) failed(err error) *Error {
	if own := (*Error)(nil); errors.As(err, &own) {
		return own
	}
	e := invalid("%s can't be read: %v", s.what, err)
	e.cause = err
	return e
}

func (s *sourced) notText() *Error {
	return invalid("%s is not valid UTF-8: encode it in base64 and set its encoding", s.what)
}

// sourceFile is an open source.
type sourceFile struct {
	s     *sourced
	r     io.ReadCloser
	left  int64
	hash  hash.Hash // nil: nobody asks
	fault error
}

// Read implements io.Reader. The last bytes come with io.EOF, once it is known that they
// are the last ones: with a raw body a relay that has them has all of it.
func (f *sourceFile) Read(p []byte) (int, error) {
	if f.fault != nil {
		return 0, f.fault
	}
	if f.left == 0 {
		if f.fault = f.atEnd(); f.fault == nil {
			f.fault = io.EOF
		}
		return 0, f.fault
	}
	n, err := f.r.Read(p[:min(int64(len(p)), f.left)])
	f.left -= int64(n)
	if f.hash != nil {
		f.hash.Write(p[:n])
	}
	switch {
	case err == io.EOF && f.left > 0:
		f.fault = f.wrongSize("fewer")
	case err != nil && err != io.EOF:
		f.fault = f.s.failed(err)
	}
	switch {
	case n > 0 && f.left == 0 && f.fault == nil:
		if f.fault = f.atEnd(); f.fault != nil {
			return 0, f.fault
		}
		f.fault = io.EOF
		return n, io.EOF
	case n > 0:
		return n, nil
	}
	return n, f.fault
}

// atEnd says what is wrong once all has been read.
func (f *sourceFile) atEnd() error {
	var more [1]byte
	switch n, err := io.ReadFull(f.r, more[:]); {
	case n > 0:
		return f.wrongSize("more")
	case err != io.EOF:
		return f.s.failed(err)
	case f.hash != nil && !bytes.Equal(f.hash.Sum(nil), f.s.sum):
		return invalid("%s has changed while it was sent", f.s.what)
	}
	return nil
}

func (f *sourceFile) wrongSize(what string) *Error {
	return invalid("%s has %s bytes than its size of %d: it has changed", f.s.what, what, f.s.Size)
}

// Close implements io.Closer.
func (f *sourceFile) Close() error { return f.r.Close() }

// sourceReader gives a source as it stands in a body.
type sourceReader struct {
	s    *sourced
	raw  bool
	file *sourceFile  // nil: not open
	text content.Text // raw
	in   []byte
	n    int // bytes in in, of a rune that is not whole
	buf  []byte
	out  []byte // of buf, not yet read
	done int64  // bytes of the source that have been read
	err  error
}

// Read implements io.Reader.
func (r *sourceReader) Read(p []byte) (int, error) {
	if r.raw && r.err == nil {
		n := 0
		if n, r.err = r.readRaw(p); r.err != nil {
			r.close()
		}
		if n > 0 {
			return n, nil
		}
	}
	for len(r.out) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		if r.err = r.fill(); r.err != nil {
			r.close()
		}
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

// readRaw reads bytes as they are. A text has to be one.
func (r *sourceReader) readRaw(p []byte) (n int, err error) {
	if r.file == nil {
		if r.file, err = r.s.open(); err != nil {
			return 0, err
		}
	}
	n, err = r.file.Read(p)
	r.done += int64(n)
	if r.s.json || r.s.Encoding != "" {
		return n, err
	}
	if r.text.Write(p[:n]) != "" || err == io.EOF && r.text.End() != "" {
		return 0, r.s.notText()
	}
	return n, err
}

// fill reads and encodes the next piece.
func (r *sourceReader) fill() (err error) {
	if r.file == nil {
		if r.file, err = r.s.open(); err != nil {
			return err
		}
		r.in = make([]byte, sourceBuffer)
	}
	n, err := io.ReadFull(r.file, r.in[r.n:])
	r.done += int64(n)
	n += r.n
	r.n = 0
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	p := r.in[:n]
	switch {
	case err != nil && err != io.EOF:
		return err
	case r.s.json:
		r.out = p
	case r.s.Encoding == api.EncodingBase64:
		r.buf = base64.StdEncoding.AppendEncode(r.buf[:0], p)
		r.out = r.buf
	default:
		whole := n
		if err == nil {
			whole = content.WholeRunes(p)
		}
		var bad error
		if r.buf, bad = jsontext.AppendQuote(r.buf[:0], p[:whole]); bad != nil {
			return r.s.notText()
		}
		r.out = r.buf[1 : len(r.buf)-1]
		r.n = copy(r.in, p[whole:])
	}
	return err
}

func (r *sourceReader) close() {
	if r.file != nil {
		_ = r.file.Close()
		r.file = nil
	}
}

// sendSource sends a single content that is read while it is sent.
func (c *Client) sendSource(ctx context.Context, p SendParams) (*Sent, error) {
	source, err := p.Source.single()
	if err != nil {
		return nil, err
	}
	req := api.CreateRequest{ContentType: source.ContentType}
	if err := setTerms(&req, p.TTL, p.MaxRetrievals, p.Metadata, p.Notify); err != nil {
		return nil, err
	}
	return c.create(ctx, creation{
		size: source.Size, progress: p.Progress,
		raw: func() (payload, error) { return rawContent(req, source.Size, piece{source: source, raw: true}) },
		json: func() (payload, error) {
			if err := source.checkJSON(); err != nil {
				return nil, err
			}
			return jsonContent(&req, source.quoted()...)
		},
	})
}

// sendSources sends a package of files that are read while they are sent.
func (c *Client) sendSources(ctx context.Context, p SendFilesParams) (*Sent, error) {
	var req api.CreateRequest
	if err := setTerms(&req, p.TTL, p.MaxRetrievals, p.Metadata, p.Notify); err != nil {
		return nil, err
	}
	new := creation{progress: p.Progress}
	sources := make([]*sourced, len(p.Sources))
	for i, s := range p.Sources {
		var err error
		if sources[i], err = s.file(i + 1); err != nil {
			return nil, err
		}
		new.size += s.Size
	}
	new.raw = func() (payload, error) { return rawFiles(req, sources) }
	new.json = func() (payload, error) { return jsonFiles(&req, sources) }
	return c.create(ctx, new)
}

// quoted is a single content as JSON has it.
func (s *sourced) quoted() []piece {
	quote := piece{bytes: []byte{'"'}}
	if s.json {
		return []piece{{source: s}}
	}
	return []piece{quote, {source: s}, quote}
}

// jsonFiles is a body with files, and with the members of rest, which has at least one.
func jsonFiles(rest any, sources []*sourced) (payload, error) {
	text, err := jsonv2.Marshal(rest)
	if err != nil {
		return nil, invalid("metadata can't be written as JSON")
	}
	body := bodyOf([]byte(`{"files":[`))
	for i, s := range sources {
		file, err := jsonv2.Marshal(struct {
			Name        string `json:"name"`
			ContentType string `json:"content_type"`
			Role        string `json:"role,omitzero"`
			Encoding    string `json:"encoding,omitzero"`
		}{s.Name, s.ContentType, s.Role, s.Encoding})
		if err != nil {
			return nil, invalid("name, type or role of file %d is not valid UTF-8", i+1)
		}
		if i > 0 {
			body = append(body, bodyOf([]byte{','})...)
		}
		body = append(body, bodyOf(file[:len(file)-1], []byte(`,"content":"`))...)
		body = append(body, piece{source: s}, piece{bytes: []byte(`"}`)})
	}
	return append(body, bodyOf([]byte(`],`), text[1:])...), nil
}

// content gives a single content, and checks that JSON is JSON.
func (s Source) content() (*sourced, error) {
	out, err := s.single()
	if err == nil {
		err = out.checkJSON()
	}
	return out, err
}

// single gives a single content. Of a raw body the relay checks that JSON is JSON.
func (s Source) single() (*sourced, error) {
	if s.Encoding != "" {
		return nil, invalid("a single content has no encoding: send what is not UTF-8 as a file")
	}
	if s.ContentType == "" {
		s.ContentType = api.TypeText
	}
	out := &sourced{Source: s, what: "content", json: s.ContentType == api.TypeJSON}
	return out, out.check()
}

func (s Source) file(place int) (*sourced, error) {
	if s.Encoding != "" && s.Encoding != api.EncodingBase64 {
		return nil, invalid("encoding of file %d must be %s or absent", place, api.EncodingBase64)
	}
	out := &sourced{Source: s, what: fmt.Sprintf("content of file %d", place)}
	return out, out.check()
}
