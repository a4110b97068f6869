package relay

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"kubbi-mcp/internal/content"
	"kubbi-mcp/internal/filename"
	"kubbi-mcp/kubbi/api"
)

// draft is a valid create request. Its parts are pieces of the body or, of a large
// raw one, still to come.
type draft struct {
	contentType   string
	files         []file
	parts         []part
	stream        *rawReader // the parts' bytes, once; nil: the parts have them
	size          int64
	ttl           time.Duration
	maxRetrievals int
	metadata      []byte      // compact; nil: none
	notify        *api.Notify // nil: nobody is to be told
}

// part is the content of a file, or the single content.
type part struct {
	at    string // its name in messages
	size  int64
	bytes []byte
	text  bool // it must be UTF-8
	json  bool // it must be JSON
}

func (p *part) newCheck() content.Check {
	switch {
	case p.json:
		return &content.JSON{}
	case p.text:
		return &content.Text{}
	}
	return content.Bytes{}
}

// plain gives the payload: the parts one after the other. Of a stream it may be read
// once, and an error that it gives is for the client.
func (d *draft) plain() io.Reader {
	if d.stream != nil {
		return d.stream
	}
	if len(d.parts) == 1 {
		return bytes.NewReader(d.parts[0].bytes)
	}
	readers := make([]io.Reader, len(d.parts))
	for i, p := range d.parts {
		readers[i] = bytes.NewReader(p.bytes)
	}
	return io.MultiReader(readers...)
}

// close reads what the client still sends of a stream: it would not hear the answer.
func (d *draft) close() {
	if d.stream != nil {
		d.stream.drain()
	}
}

// validator turns a decoded body into a draft and collects all its faults.
type validator struct {
	faults
	body   []byte // strings in it are decoded in place
	raw    bool   // body is a raw one's head
	limits limits
	draft  draft
}

// validate reads a create body. It keeps the body and changes it.
func validate(body []byte, limits limits) (*draft, error) {
	wire, err := decodeCreate(body, limits.Files)
	if err != nil {
		return nil, err
	}
	v := &validator{body: body, limits: limits}
	return v.validate(wire)
}

// validateRaw reads the head of a raw create body, as validate does.
func validateRaw(head []byte, limits limits) (*draft, error) {
	wire, err := decodeCreate(head, limits.Files)
	if err != nil {
		return nil, err
	}
	v := &validator{body: head, raw: true, limits: limits}
	return v.validate(wire)
}

func (v *validator) validate(wire *wireCreate) (*draft, error) {
	// The pages say nothing of null: null files are none, and null content is
	// none where there are files, else the JSON value null. Nor do they say what
	// a package's own content_type would be: it is ignored.
	hasFiles := wire.files != 0 && wire.files != 'n'
	content, name := wire.content, "content"
	if v.raw {
		content, name = wire.contentBytes, "content_bytes"
	}
	hasContent := content.there() && (!hasFiles || content.in(v.body).Kind() != 'n')
	switch {
	case hasContent == hasFiles:
		v.add("exactly one of " + name + " and files must be given")
	case hasContent:
		v.content(wire)
	default:
		v.filesOf(wire)
	}
	v.ttl(wire.ttl)
	v.maxRetrievals(wire.maxRetrievals)
	v.metadata(wire.metadata)
	v.notify(&wire.notify)
	if err := v.err(); err != nil {
		return nil, err
	}
	return &v.draft, nil
}

func (v *validator) addf(format string, args ...any) { v.add(fmt.Sprintf(format, args...)) }

func (v *validator) content(wire *wireCreate) {
	ct, ok := v.text("content_type", wire.contentType, true)
	if ok && !slices.Contains(api.ContentTypes, ct) {
		v.add("content_type must be one of " + strings.Join(api.ContentTypes, ", "))
		ok = false
	}
	p := part{at: "content", text: true, json: ct == api.TypeJSON}
	if v.raw {
		p.size, ok = v.size("content_bytes", wire.contentBytes)
		if !ok {
			return
		}
	} else {
		value := wire.content.in(v.body)
		text := value.Kind() == '"'
		if !text && ok && !p.json {
			v.add("content must be a string when content_type is " + ct)
			return
		}
		if p.bytes = value; text && !p.json {
			p.bytes = unquote(value)
		}
		p.size = int64(len(p.bytes))
	}
	if p.size > v.limits.ContentBytes {
		v.addf("content must be at most %d bytes%s, and is %d", v.limits.ContentBytes, ofKey(v.limits.bytesOfKey), p.size)
	}
	v.draft.contentType, v.draft.parts, v.draft.size = ct, []part{p}, p.size
}

// size gives how many bytes a part of a raw body has.
func (v *validator) size(at string, s span) (int64, bool) {
	if !s.there() {
		v.add(at + " is required")
		return 0, false
	}
	n, ok := v.integer(at, s, 0, maxSize, "")
	return int64(n), ok
}

// maxSize is the largest size that is understood; the limits are far below.
var maxSize = int(min(math.MaxInt, int64(1<<53)))

func (v *validator) filesOf(wire *wireCreate) {
	if wire.files != '[' {
		v.add("files must be an array")
		return
	}
	if wire.fileCount < 1 || wire.fileCount > v.limits.Files {
		v.addf("files must have 1 to %d files, and has %d", v.limits.Files, wire.fileCount)
	}
	seen := map[string]int{}
	for i, f := range wire.file[:min(len(wire.file), v.limits.Files)] {
		v.file(fmt.Sprintf("files[%d]", i), i, f, seen)
	}
	if v.draft.size > v.limits.PackageBytes {
		v.addf("files must be at most %d bytes together%s, and are %d", v.limits.PackageBytes, ofKey(v.limits.bytesOfKey), v.draft.size)
	}
}

func (v *validator) file(at string, i int, f wireFile, seen map[string]int) {
	if f.kind != '{' {
		v.add(at + " must be an object")
		return
	}
	var out file
	var ok bool
	if out.name, ok = v.text(at+".name", f.name, true); ok {
		if fault := filename.Fault(out.name, v.limits.FileNameBytes); fault != "" {
			v.add(at + ".name " + fault)
		} else if first, twice := seen[filename.Fold(out.name)]; twice {
			v.addf("%s.name must be unique in the package, ignoring case and Unicode form; files[%d] has it", at, first)
		} else {
			seen[filename.Fold(out.name)] = i
		}
	}
	if out.contentType, ok = v.text(at+".content_type", f.contentType, true); ok && !content.IsMediaType(out.contentType) {
		v.add(at + ".content_type must be a MIME type, type/subtype without parameters")
	}
	if out.role, ok = v.text(at+".role", f.role, false); ok && !slices.Contains(api.Roles, out.role) {
		v.add(at + ".role must be one of " + strings.Join(api.Roles, ", "))
	}
	encoding, encoded := v.text(at+".encoding", f.encoding, false)
	if encoded && encoding != api.EncodingBase64 {
		v.add(at + ".encoding must be " + api.EncodingBase64 + " or absent")
	}
	out.encoding = encoding
	p := part{at: at, text: encoding == ""}
	switch {
	case v.raw:
		p.size, _ = v.size(at+".size_bytes", f.size)
	case !f.content.there():
		v.add(at + ".content is required")
	case f.content.in(v.body).Kind() != '"':
		v.add(at + ".content must be a string")
	case encoding == api.EncodingBase64:
		if p.bytes, ok = decodeBase64(unquote(f.content.in(v.body))); !ok {
			v.add(at + ".content must be base64: the standard alphabet, padded, without line breaks")
		}
	default:
		p.bytes = unquote(f.content.in(v.body))
	}
	if !v.raw {
		p.size = int64(len(p.bytes))
	}
	out.size = p.size
	v.draft.size += out.size
	v.draft.files = append(v.draft.files, out)
	v.draft.parts = append(v.draft.parts, p)
}

func (v *validator) ttl(s span) {
	if !s.there() {
		v.add("ttl_seconds is required")
		return
	}
	n, ok := v.integer("ttl_seconds", s, v.limits.MinTTLSeconds, v.limits.MaxTTLSeconds, ofKey(v.limits.ttlOfKey))
	if ok {
		v.draft.ttl = time.Duration(n) * time.Second
	}
}

func (v *validator) maxRetrievals(s span) {
	if s.there() && s.in(v.body).Kind() != 'n' {
		v.draft.maxRetrievals, _ = v.integer("max_retrievals", s, 1, v.limits.MaxRetrievalCap, "")
	}
}

func (v *validator) metadata(s span) {
	if !s.there() || s.in(v.body).Kind() == 'n' {
		return
	}
	value := s.in(v.body).Clone()
	if value.Kind() != '{' {
		v.add("metadata must be an object")
		return
	}
	if err := value.Compact(); err != nil {
		v.add("metadata must be valid JSON")
		return
	}
	if len(value) > v.limits.MetadataBytes {
		v.addf("metadata must be at most %d bytes when serialized, and is %d", v.limits.MetadataBytes, len(value))
		return
	}
	v.draft.metadata = value
}

// text gives a string member; ok is false if it is absent, null or a fault.
func (v *validator) text(at string, s span, required bool) (_ string, ok bool) {
	switch {
	case !s.there(), s.in(v.body).Kind() == 'n':
		if required {
			v.add(at + " is required")
		}
		return "", false
	case s.in(v.body).Kind() != '"':
		v.add(at + " must be a string")
		return "", false
	}
	return string(unquote(s.in(v.body))), true
}

func (v *validator) integer(at string, s span, low, high int, whose string) (_ int, ok bool) {
	value := s.in(v.body)
	if value.Kind() != '0' || strings.Trim(string(value), "-0123456789") != "" {
		v.add(at + " must be an integer")
		return 0, false
	}
	n, err := strconv.Atoi(string(value))
	if err != nil || n < low || n > high {
		v.addf("%s must be between %d and %d%s", at, low, high, whose)
		return 0, false
	}
	return n, true
}

// queryInt gives a whole number of a query, or its default if it is absent.
func (f *faults) queryInt(at, text string, def, low, high int) int {
	if text == "" {
		return def
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		f.add(fmt.Sprintf("%s must be an integer between %d and %d", at, low, high))
		return def
	}
	return n
}
