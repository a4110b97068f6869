package kubbi

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"

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

// outgoing is a single content or a file on its way into a request's body.
type outgoing struct {
	Source
	label string // for errors
	json  bool   // a JSON value: it goes into JSON as it is
	sum   []byte // SHA-256 of a JSON value that was found to be one

	value jsontext.Value // a single content in memory, as JSON
	text  *string        // the content of a file in memory, as its Encoding has it
}

// rawFile is what a raw head says of a file.
func (o *outgoing) rawFile() api.RawFile {
	return api.RawFile{Name: o.Name, ContentType: o.ContentType, SizeBytes: o.Size, Role: o.Role, Encoding: o.Encoding}
}

// jsonPieces is the content as JSON has it.
func (o *outgoing) jsonPieces() []piece {
	quote := piece{bytes: []byte{'"'}}
	switch {
	case o.value != nil:
		return []piece{{bytes: o.value}}
	case o.text != nil:
		quoted, _ := jsontext.AppendQuote(make([]byte, 0, len(*o.text)+2), *o.text) // it is UTF-8
		return []piece{{bytes: quoted}}
	case o.json:
		return []piece{{content: o}}
	}
	return []piece{quote, {content: o}, quote}
}

// wireSize is how long it is in the body, quotes aside; -1 if that is not known.
func (o *outgoing) wireSize() int64 {
	switch {
	case o.json:
		return o.Size
	case o.Encoding == api.EncodingBase64:
		return (o.Size + 2) / 3 * 4
	}
	return -1
}

// check finds what would only surface while the body is sent.
func (o *outgoing) check() error {
	if o.Size < 0 || o.Open == nil {
		return invalid("%s has no size or can't be opened", o.label)
	}
	return nil
}

// checkJSON reads a JSON value once to see that it is one: as a part of a request in
// JSON anything else could become another member of it.
func (o *outgoing) checkJSON() error {
	if !o.json || o.value != nil || o.sum != nil {
		return nil
	}
	r, err := o.open()
	if err != nil {
		return err
	}
	defer r.Close()
	h := sha256.New()
	fault, err := content.JSONFault(io.TeeReader(r, h))
	switch {
	case err != nil:
		return err
	case fault != "":
		return invalid("%s is not one valid JSON value", o.label)
	}
	o.sum = h.Sum(nil)
	return nil
}

// open opens the source. What reading it gives is exactly Size bytes, or an
// error, which is an *Error.
func (o *outgoing) open() (*sourceFile, error) {
	r, err := o.Open()
	if err != nil {
		return nil, o.failed(err)
	}
	f := &sourceFile{o: o, r: r, left: o.Size}
	if o.sum != nil {
		f.hash = sha256.New()
	}
	return f, nil
}

func (o *outgoing) failed(err error) *Error {
	if own := (*Error)(nil); errors.As(err, &own) {
		return own
	}
	e := invalid("%s can't be read: %v", o.label, err)
	e.cause = err
	return e
}

func (o *outgoing) notText() *Error {
	return invalid("%s is not valid UTF-8: encode it in base64 and set its encoding", o.label)
}

// sourceFile is an open source.
type sourceFile struct {
	o     *outgoing
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
		f.fault = f.o.failed(err)
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
		return f.o.failed(err)
	case f.hash != nil && !bytes.Equal(f.hash.Sum(nil), f.o.sum):
		return invalid("%s has changed while it was sent", f.o.label)
	}
	return nil
}

func (f *sourceFile) wrongSize(what string) *Error {
	return invalid("%s has %s bytes than its size of %d: it has changed", f.o.label, what, f.o.Size)
}

// Close implements io.Closer.
func (f *sourceFile) Close() error { return f.r.Close() }

// sourceReader gives a source as it stands in a body.
type sourceReader struct {
	o    *outgoing
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
		if r.file, err = r.o.open(); err != nil {
			return 0, err
		}
	}
	n, err = r.file.Read(p)
	r.done += int64(n)
	if r.o.json || r.o.Encoding != "" {
		return n, err
	}
	if r.text.Write(p[:n]) != "" || err == io.EOF && r.text.End() != "" {
		return 0, r.o.notText()
	}
	return n, err
}

// fill reads and encodes the next piece.
func (r *sourceReader) fill() (err error) {
	if r.file == nil {
		if r.file, err = r.o.open(); err != nil {
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
	case r.o.json:
		r.out = p
	case r.o.Encoding == api.EncodingBase64:
		r.buf = base64.StdEncoding.AppendEncode(r.buf[:0], p)
		r.out = r.buf
	default:
		whole := n
		if err == nil {
			whole = content.WholeRunes(p)
		}
		var bad error
		if r.buf, bad = jsontext.AppendQuote(r.buf[:0], p[:whole]); bad != nil {
			return r.o.notText()
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

// single gives a single content. Of a raw body the relay checks that JSON is JSON.
func (s Source) single() (*outgoing, error) {
	if s.Encoding != "" {
		return nil, invalid("a single content has no encoding: send what is not UTF-8 as a file")
	}
	if s.ContentType == "" {
		s.ContentType = api.TypeText
	}
	out := &outgoing{Source: s, label: "content", json: s.ContentType == api.TypeJSON}
	return out, out.check()
}

func (s Source) file(place int) (*outgoing, error) {
	if s.Encoding != "" && s.Encoding != api.EncodingBase64 {
		return nil, invalid("encoding of file %d must be %s or absent", place, api.EncodingBase64)
	}
	out := &outgoing{Source: s, label: fmt.Sprintf("content of file %d", place)}
	return out, out.check()
}
