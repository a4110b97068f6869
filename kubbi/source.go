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

// Source is a content or a file that is read while it is sent, so that it need not be in
// memory.
type Source struct {
	Name        string // of a file; a single content has none
	ContentType string // of a single content: one of api.ContentTypes, empty for text/plain
	Role        string // of a file: empty, or one of api.Roles
	// Encoding is empty for text, which must be UTF-8, or api.EncodingBase64 for a file
	// of any bytes. A single content has none; of type application/json it must be one
	// JSON value.
	Encoding string
	Size     int64 // in bytes, of what Open's reader gives
	// Open gives the bytes, not encoded, from the start. It may be called again for
	// another attempt. Reading must not block for ever.
	Open func() (io.ReadCloser, error)
}

// sourceBuffer is how many bytes are read from a source at once. It is a multiple of 3, so
// that pieces of base64 can be joined.
const sourceBuffer = 48 << 10

// outgoing is a single content or a file on its way into a request's body.
type outgoing struct {
	Source
	label string // for errors
	json  bool   // a JSON value, which is sent unchanged
	sum   []byte // SHA-256 of a JSON value that was checked

	value jsontext.Value // a single content in memory, as JSON
	text  *string        // a content in memory, encoded as Encoding says
}

// rawFile describes the file in a raw head.
func (o *outgoing) rawFile() api.RawFile {
	return api.RawFile{Name: o.Name, ContentType: o.ContentType, SizeBytes: o.Size, Role: o.Role, Encoding: o.Encoding}
}

// jsonPieces is the content in the form of JSON.
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

// wireSize is the length of the content in JSON, without quotes; -1: unknown.
func (o *outgoing) wireSize() int64 {
	switch {
	case o.json:
		return o.Size
	case o.Encoding == api.EncodingBase64:
		return (o.Size + 2) / 3 * 4
	}
	return -1
}

// check finds errors that would otherwise show only while the body is sent.
func (o *outgoing) check() error {
	if o.Size < 0 || o.Open == nil {
		return invalid("%s has no size or can't be opened", o.label)
	}
	return nil
}

// checkJSON reads a JSON value once and checks it. An invalid value could add members to a
// request in JSON.
func (o *outgoing) checkJSON() error {
	if !o.json || o.value != nil || o.sum != nil {
		return nil
	}
	r, err := o.open()
	if err != nil {
		return err
	}
	defer r.r.Close()
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

// open opens the source. Its reader gives exactly Size bytes, or an *Error.
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
	if own, ok := errors.AsType[*Error](err); ok {
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
	o    *outgoing
	r    io.ReadCloser
	left int64
	hash hash.Hash // nil: not wanted
	err  error
}

// Read implements io.Reader. It checks that the source has ended before it returns the last
// bytes, together with io.EOF. Otherwise a relay that has read all bytes of a raw body would
// accept it although the source has more.
func (f *sourceFile) Read(p []byte) (n int, err error) {
	if f.err != nil {
		return 0, f.err
	}
	if f.left > 0 {
		n, err = f.r.Read(p[:min(int64(len(p)), f.left)])
		f.left -= int64(n)
		if f.hash != nil {
			f.hash.Write(p[:n])
		}
	}
	switch {
	case f.left == 0:
		if f.err = f.end(); f.err != io.EOF {
			return 0, f.err
		}
		return n, io.EOF
	case err == io.EOF:
		f.err = f.wrongSize("fewer")
	case err != nil:
		f.err = f.o.failed(err)
	}
	if n > 0 {
		return n, nil // the error comes with the next call
	}
	return 0, f.err
}

// end gives io.EOF after the last byte, or an error if there are more bytes or the bytes
// have changed.
func (f *sourceFile) end() error {
	var more [1]byte
	switch n, err := io.ReadFull(f.r, more[:]); {
	case n > 0:
		return f.wrongSize("more")
	case err != io.EOF:
		return f.o.failed(err)
	case f.hash != nil && !bytes.Equal(f.hash.Sum(nil), f.o.sum):
		return invalid("%s has changed while it was sent", f.o.label)
	}
	return io.EOF
}

func (f *sourceFile) wrongSize(what string) *Error {
	return invalid("%s has %s bytes than its size of %d: it has changed", f.o.label, what, f.o.Size)
}

// textReader reads a source and checks that it is UTF-8.
type textReader struct {
	*sourceFile
	text content.Text
}

// Read implements io.Reader.
func (r *textReader) Read(p []byte) (int, error) {
	n, err := r.sourceFile.Read(p)
	if r.text.Write(p[:n]) != "" || err == io.EOF && r.text.End() != "" {
		return 0, r.o.notText()
	}
	return n, err
}

// jsonReader gives a source in the form of JSON, without quotes.
type jsonReader struct {
	segmentReader
	file *sourceFile
	in   []byte
	n    int    // bytes of an incomplete rune at the start of in
	buf  []byte // encoded
}

func newJSONReader(f *sourceFile) *jsonReader {
	r := &jsonReader{file: f, in: make([]byte, sourceBuffer)}
	r.next = r.encode
	return r
}

// encode reads and encodes the next piece.
func (r *jsonReader) encode() ([]byte, error) {
	n, err := io.ReadFull(r.file, r.in[r.n:])
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	if err != nil && err != io.EOF {
		return nil, err
	}
	p := r.in[:r.n+n]
	switch o := r.file.o; {
	case o.json:
		return p, err
	case o.Encoding == api.EncodingBase64:
		r.buf = base64.StdEncoding.AppendEncode(r.buf[:0], p)
		return r.buf, err
	}
	whole := len(p)
	if err == nil {
		whole = content.WholeRunes(p)
	}
	var bad error
	if r.buf, bad = jsontext.AppendQuote(r.buf[:0], p[:whole]); bad != nil {
		return nil, r.file.o.notText()
	}
	r.n = copy(r.in, p[whole:])
	return r.buf[1 : len(r.buf)-1], err
}

// single gives the source as a single content.
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

// file gives the source as file number place of a package.
func (s Source) file(place int) (*outgoing, error) {
	if s.Encoding != "" && s.Encoding != api.EncodingBase64 {
		return nil, invalid("encoding of file %d must be %s or absent", place, api.EncodingBase64)
	}
	out := &outgoing{Source: s, label: fmt.Sprintf("content of file %d", place)}
	return out, out.check()
}
