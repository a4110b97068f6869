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

	"kubbi-mcp/kubbi/api"
)

// span is where a JSON value stands in a body. The zero span is none.
type span struct{ start, end int }

func (s span) in(body []byte) jsontext.Value { return body[s.start:s.end] }
func (s span) there() bool                   { return s.end > 0 }

// wireCreate is where the members of a create body stand. Members that it does
// not know are ignored, as the vendor's page asks for nothing else.
type wireCreate struct {
	content, contentType, ttl, maxRetrievals, metadata span

	contentBytes span // of a raw body's head, where content is none

	files     jsontext.Kind // of the member; 0: absent
	file      []wireFile    // at most the limit and one
	fileCount int

	notify wireNotify
}

// wireNotify is x_notify. It is ours, so that unknown members are not ignored.
type wireNotify struct {
	kind       jsontext.Kind // of the member; 0: absent
	url        span
	events     jsontext.Kind // of the member; 0: absent
	event      []span        // at most all events and one
	eventCount int
	unknown    bool // it has a member that it should not
}

type wireFile struct {
	kind                                       jsontext.Kind
	name, content, contentType, role, encoding span

	size span // of a raw body's head, where content is none
}

// decodeCreate finds the members of a create body, or of the head of a raw one, in
// one pass, without copying them. maxFiles bounds what is kept of files.
func decodeCreate(body []byte, maxFiles int) (*wireCreate, error) {
	// A name that stands twice inside a content is the sender's and the
	// recipient's business.
	d := &decoder{dec: jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true))}
	var c wireCreate
	if d.dec.PeekKind() != '{' {
		if d.skip(); d.err == nil || errors.Is(d.err, io.EOF) {
			return nil, invalid("the request body must be a JSON object")
		}
		return nil, invalid(syntaxFault(body, d.err))
	}
	d.object(func(name string) {
		switch name {
		case "content":
			c.content = d.value()
		case "content_bytes":
			c.contentBytes = d.value()
		case "content_type":
			c.contentType = d.value()
		case "ttl_seconds":
			c.ttl = d.value()
		case "max_retrievals":
			c.maxRetrievals = d.value()
		case "metadata":
			c.metadata = d.value()
			if d.err == nil && !c.metadata.in(body).IsValid() { // valid JSON, but for this
				d.twice()
			}
		case "files":
			c.files = d.dec.PeekKind()
			if c.files != '[' {
				d.skip()
				return
			}
			d.array(func() {
				c.fileCount++
				if c.fileCount > maxFiles+1 {
					d.skip()
					return
				}
				c.file = append(c.file, d.file())
			})
		case "x_notify":
			c.notify = d.notify()
		default:
			d.skip()
		}
	})
	if d.err == nil {
		if _, err := d.dec.ReadToken(); err == nil {
			return nil, invalid("the request body has data after its JSON object")
		} else if !errors.Is(err, io.EOF) {
			d.err = err
		}
	}
	if d.err != nil {
		return nil, invalid(syntaxFault(body, d.err))
	}
	return &c, nil
}

// decoder walks a JSON text until its first error.
type decoder struct {
	dec *jsontext.Decoder
	err error
}

func (d *decoder) file() wireFile {
	f := wireFile{kind: d.dec.PeekKind()}
	if f.kind != '{' {
		d.skip()
		return f
	}
	d.object(func(name string) {
		switch name {
		case "name":
			f.name = d.value()
		case "content":
			f.content = d.value()
		case "size_bytes":
			f.size = d.value()
		case "content_type":
			f.contentType = d.value()
		case "role":
			f.role = d.value()
		case "encoding":
			f.encoding = d.value()
		default:
			d.skip()
		}
	})
	return f
}

func (d *decoder) notify() wireNotify {
	n := wireNotify{kind: d.dec.PeekKind()}
	if n.kind != '{' {
		d.skip()
		return n
	}
	d.object(func(name string) {
		switch name {
		case "notify_url":
			n.url = d.value()
		case "events":
			n.events = d.dec.PeekKind()
			if n.events != '[' {
				d.skip()
				return
			}
			d.array(func() {
				n.eventCount++
				if n.eventCount > len(api.Events)+1 {
					d.skip()
					return
				}
				n.event = append(n.event, d.value())
			})
		default:
			n.unknown = true
			d.skip()
		}
	})
	return n
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

func (d *decoder) value() span {
	if d.err != nil {
		return span{}
	}
	v, err := d.dec.ReadValue()
	if err != nil {
		d.err = err
		return span{}
	}
	end := int(d.dec.InputOffset())
	return span{end - len(v), end}
}

func (d *decoder) object(member func(name string)) {
	d.token()
	seen := map[string]bool{}
	for d.err == nil && d.dec.PeekKind() != '}' {
		name := d.token()
		if d.err != nil {
			break
		}
		n := name.String()
		if seen[n] {
			d.twice()
			break
		}
		if len(n) <= maxMember && len(seen) < maxMember { // others are none that we know
			seen[n] = true
		}
		member(n)
	}
	d.token()
}

// maxMember is longer than any name of a member, in bytes, and more than an object
// of the request's own has members.
const maxMember = 64

// twice is the error of a name that stands twice in an object of the request's own.
func (d *decoder) twice() {
	d.err = &jsontext.SyntacticError{ByteOffset: d.dec.InputOffset(), Err: jsontext.ErrDuplicateName}
}

func (d *decoder) array(element func()) {
	d.token()
	for d.err == nil && d.dec.PeekKind() != ']' {
		element()
	}
	d.token()
}

// syntaxFault says what is wrong with a body that is not JSON, without quoting
// it: the decoder's own words may hold pieces of a payload.
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

// unquote decodes a valid JSON string within its own memory.
func unquote(v jsontext.Value) []byte {
	s := []byte(v[1 : len(v)-1])
	i := bytes.IndexByte(s, '\\')
	if i < 0 {
		return s
	}
	w := i
	for i < len(s) {
		if s[i] != '\\' {
			run := bytes.IndexByte(s[i:], '\\')
			if run < 0 {
				run = len(s) - i
			}
			w += copy(s[w:], s[i:i+run])
			i += run
			continue
		}
		if c := strings.IndexByte(`"\/bfnrt`, s[i+1]); c >= 0 {
			s[w] = "\"\\/\b\f\n\r\t"[c]
			w, i = w+1, i+2
			continue
		}
		n := len(`\u0000`)
		if (s[i+2] == 'd' || s[i+2] == 'D') && strings.IndexByte("89abAB", s[i+3]) >= 0 {
			n *= 2 // the first half of a surrogate pair
		}
		var quoted, plain [16]byte
		q := append(append(append(quoted[:0], '"'), s[i:i+n]...), '"')
		p, _ := jsontext.AppendUnquote(plain[:0], q) // validated by the decoder
		w += copy(s[w:], p)
		i += n
	}
	return s[:w]
}

// decodeBase64 decodes padded standard base64 within its own memory. Unlike
// encoding/base64 it refuses line breaks.
func decodeBase64(b []byte) (_ []byte, ok bool) {
	const step = 4096
	var plain [step / 4 * 3]byte
	enc := base64.StdEncoding.Strict()
	w := 0
	for i := 0; i < len(b); i += step {
		part := b[i:min(i+step, len(b))]
		n, err := enc.Decode(plain[:], part)
		want := len(part) / 4 * 3
		if i+step >= len(b) {
			want -= len(part) - len(bytes.TrimRight(part, "="))
		}
		if err != nil || len(part)%4 != 0 || n != want {
			return nil, false
		}
		w += copy(b[w:], plain[:n])
	}
	return b[:w], true
}
