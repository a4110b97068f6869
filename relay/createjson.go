package relay

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// span is where a JSON value is in a body. The zero span is no value.
type span struct{ start, end int }

func (s span) in(body []byte) jsontext.Value { return body[s.start:s.end] }
func (s span) present() bool                 { return s.end > 0 }

// createMembers says where the members of a create body are. Unknown members are ignored,
// since the vendor's pages do not forbid them.
type createMembers struct {
	content, contentType, ttl, maxRetrievals, metadata, notify span

	contentBytes span // in the head of a raw body, instead of content

	files     jsontext.Kind // of the member; 0: absent
	file      []fileMembers // at most one more than the limit
	fileCount int
}

type fileMembers struct {
	kind                                       jsontext.Kind
	name, content, contentType, role, encoding span

	size span // in the head of a raw body, instead of content
}

// decodeCreate finds the members of a create body, or of the head of a raw body, in
// one pass and without copying them. Files above maxFiles are only counted.
func decodeCreate(body []byte, maxFiles int) (*createMembers, error) {
	// A name may occur twice inside a content: that concerns sender and recipient only.
	d := &decoder{body: body, dec: jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true))}
	var c createMembers
	if err := d.begin(); err != nil {
		return nil, err
	}
	d.object(map[string]*span{
		"content": &c.content, "content_bytes": &c.contentBytes, "content_type": &c.contentType,
		"ttl_seconds": &c.ttl, "max_retrievals": &c.maxRetrievals,
	}, func(name string) {
		switch name {
		case "metadata":
			d.strictValue(&c.metadata)
		case "x_notify":
			d.strictValue(&c.notify)
		case "files":
			d.files(&c, maxFiles)
		default:
			d.skip()
		}
	})
	return &c, d.end()
}

// decoder reads a JSON text until its first error.
type decoder struct {
	body []byte
	dec  *jsontext.Decoder
	err  error
}

// begin checks that the text is an object.
func (d *decoder) begin() error {
	if d.dec.PeekKind() == '{' {
		return nil
	}
	if d.skip(); d.err == nil || errors.Is(d.err, io.EOF) {
		return invalid("the request body must be a JSON object")
	}
	return invalid(syntaxFault(d.body, d.err))
}

// end checks that nothing follows what was read.
func (d *decoder) end() error {
	if d.err == nil {
		if _, err := d.dec.ReadToken(); err == nil {
			return invalid("the request body has data after its JSON object")
		} else if !errors.Is(err, io.EOF) {
			d.err = err
		}
	}
	if d.err != nil {
		return invalid(syntaxFault(d.body, d.err))
	}
	return nil
}

func (d *decoder) files(c *createMembers, most int) {
	if c.files = d.dec.PeekKind(); c.files != '[' {
		d.skip()
		return
	}
	d.token()
	for d.err == nil && d.dec.PeekKind() != ']' {
		if c.fileCount++; c.fileCount > most+1 {
			d.skip()
		} else {
			c.file = append(c.file, d.file())
		}
	}
	d.token()
}

func (d *decoder) file() fileMembers {
	f := fileMembers{kind: d.dec.PeekKind()}
	if f.kind != '{' {
		d.skip()
		return f
	}
	d.object(map[string]*span{
		"name": &f.name, "content": &f.content, "size_bytes": &f.size,
		"content_type": &f.contentType, "role": &f.role, "encoding": &f.encoding,
	}, func(string) { d.skip() })
	return f
}

func (d *decoder) token() (t jsontext.Token) {
	if d.err == nil {
		t, d.err = d.dec.ReadToken()
	}
	return t
}

func (d *decoder) skip() {
	if d.err == nil {
		d.err = d.dec.SkipValue()
	}
}

// value skips the next value and stores its place in s.
func (d *decoder) value(s *span) {
	v, err := d.dec.ReadValue()
	if err != nil {
		d.err = err
		return
	}
	end := int(d.dec.InputOffset())
	*s = span{end - len(v), end}
}

// strictValue is value, but it refuses duplicate names inside the value.
func (d *decoder) strictValue(s *span) {
	if d.value(s); d.err == nil && !s.in(d.body).IsValid() {
		d.duplicateName()
	}
}

// object reads an object: the values of members, and the others by a function.
func (d *decoder) object(members map[string]*span, other func(name string)) {
	d.token()
	seen := map[string]bool{}
	for d.err == nil && d.dec.PeekKind() != '}' {
		name := d.token()
		if d.err != nil {
			break
		}
		n := name.String()
		if seen[n] {
			d.duplicateName()
			break
		}
		if len(n) <= maxMember && len(seen) < maxMember { // bounds seen, but has room for all known members
			seen[n] = true
		}
		if s := members[n]; s != nil {
			d.value(s)
		} else {
			other(n)
		}
	}
	d.token()
}

// maxMember is greater than the length of any known member's name, in bytes, and than the
// number of known members.
const maxMember = 64

func (d *decoder) duplicateName() {
	d.err = &jsontext.SyntacticError{ByteOffset: d.dec.InputOffset(), Err: jsontext.ErrDuplicateName}
}

// syntaxFault says what is wrong with a body that is not JSON. It does not quote the
// decoder's error, which may hold part of the payload.
func syntaxFault(body []byte, err error) string {
	at := int64(len(body))
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		at = syntax.ByteOffset
	}
	what := "the request body is not valid JSON"
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		what = "the request body names a member of an object twice"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		what = "the request body is not valid JSON: it ends early"
	case !utf8.Valid(body):
		what = "the request body is not valid UTF-8"
	case syntax != nil && syntax.Err != nil && strings.Contains(syntax.Err.Error(), "surrogate"):
		what = "the request body has half a surrogate pair in a string"
	}
	return fmt.Sprintf("%s (at byte %d)", what, at)
}

// unquote decodes a valid JSON string in place. This is safe since AppendUnquote never
// overwrites bytes that it has not read yet.
func unquote(v jsontext.Value) []byte {
	if bytes.IndexByte(v, '\\') < 0 {
		return v[1 : len(v)-1]
	}
	b, _ := jsontext.AppendUnquote(v[:0], v) // the decoder has validated it
	return b
}

// decodeBase64 decodes padded standard base64 in place. This is safe since Decode never
// overwrites bytes that it has not read yet. Unlike encoding/base64 it refuses line breaks.
func decodeBase64(b []byte) (_ []byte, ok bool) {
	if len(b)%4 != 0 || bytes.IndexByte(b, '\n') >= 0 || bytes.IndexByte(b, '\r') >= 0 {
		return nil, false
	}
	n, err := base64.StdEncoding.Strict().Decode(b, b)
	return b[:n], err == nil
}
