package relay

import (
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"kubbi-mcp/internal/content"
	"kubbi-mcp/internal/filename"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

// draft is a valid create request. A JSON body and a raw body give the same draft, but may
// have the payload in different places.
type draft struct {
	contentType   string        // single content
	files         []api.RawFile // package
	size          int64         // of the payload
	ttl           time.Duration
	maxRetrievals int
	metadata      []byte      // compact JSON; nil: none
	notify        *api.Notify // nil: no receipts
	ask           *ask        // of a request; nil: it is a kubbi
	answerTo      store.Token // of an answer: its request

	inMemory [][]byte   // the payload, in pieces
	stream   *rawReader // the payload of a large raw body, which can be read only once; nil: it is in memory
}

// payload reads the payload: the single content, or all files one after the other.
// Errors of a stream are for the client.
func (d *draft) payload() io.Reader {
	if d.stream != nil {
		return d.stream
	}
	b := net.Buffers(slices.Clone(d.inMemory))
	return &b
}

// close reads the rest of a stream: a client that is still sending does not read the answer.
func (d *draft) close() {
	if d.stream != nil {
		d.stream.drain()
	}
}

// validator turns a decoded body into a draft and collects all its faults.
type validator struct {
	faults
	body   []byte // strings in it are decoded in place
	raw    bool   // body is the head of a raw body
	limits limits
	draft  draft
}

// validate reads a create body in JSON, or the head of a raw one. The draft refers to
// the body, which is changed.
func validate(body []byte, raw bool, limits limits) (*draft, error) {
	c, err := decodeCreate(body, limits.Files)
	if err != nil {
		return nil, err
	}
	v := &validator{body: body, raw: raw, limits: limits}
	// The vendor's pages do not mention null. Here null files count as absent. Null content
	// counts as absent if there are files; otherwise it is the JSON value null. The pages do
	// not say what content_type means for a package either; it is ignored.
	hasFiles := c.files != 0 && c.files != 'n'
	content, name := c.content, "content"
	if raw {
		content, name = c.contentBytes, "content_bytes"
	}
	hasContent := content.present() && (!hasFiles || content.in(body).Kind() != 'n')
	switch {
	case hasContent == hasFiles:
		v.add("exactly one of " + name + " and files must be given")
	case hasContent:
		v.content(c)
	default:
		v.files(c)
	}
	if !limits.answer {
		v.ttl(c.ttl)
		v.maxRetrievals(c.maxRetrievals)
	}
	v.metadata(c.metadata)
	if limits.answer {
		v.answer(c)
	} else {
		v.notify(c.notify)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	return &v.draft, nil
}

func (v *validator) addf(format string, args ...any) { v.add(fmt.Sprintf(format, args...)) }

func (v *validator) content(c *createMembers) {
	ct, ok := v.text("content_type", c.contentType, true)
	if ok && !slices.Contains(api.ContentTypes, ct) {
		v.add("content_type must be one of " + strings.Join(api.ContentTypes, ", "))
		ok = false
	}
	size := int64(0)
	if v.raw {
		if size, ok = v.size("content_bytes", c.contentBytes); !ok {
			return
		}
	} else {
		value := c.content.in(v.body)
		isString, isJSON := value.Kind() == '"', ct == api.TypeJSON
		if !isString && ok && !isJSON {
			v.add("content must be a string when content_type is " + ct)
			return
		}
		if isString && !isJSON {
			value = unquote(value)
		}
		size = int64(len(value))
		v.draft.inMemory = [][]byte{value}
	}
	if size > v.limits.ContentBytes {
		v.addf("content must be at most %d bytes%s, and is %d", v.limits.ContentBytes, ofKey(v.limits.bytesOfKey), size)
	}
	v.draft.contentType, v.draft.size = ct, size
}

// size reads how many bytes of a raw body a content or a file has.
func (v *validator) size(name string, s span) (int64, bool) {
	if !s.present() {
		v.add(name + " is required")
		return 0, false
	}
	n, ok := v.integer(name, s, 0, maxSize, "")
	return int64(n), ok
}

// maxSize is the largest size that a request can name. The limits are much lower.
var maxSize = int(min(math.MaxInt, int64(1<<53)))

func (v *validator) files(c *createMembers) {
	if c.files != '[' {
		v.add("files must be an array")
		return
	}
	if c.fileCount < 1 || c.fileCount > v.limits.Files {
		v.addf("files must have 1 to %d files, and has %d", v.limits.Files, c.fileCount)
	}
	seen := map[string]int{}
	for i, f := range c.file[:min(len(c.file), v.limits.Files)] {
		v.file(fmt.Sprintf("files[%d]", i), i, f, seen)
	}
	if v.draft.size > v.limits.PackageBytes {
		v.addf("files must be at most %d bytes together%s, and are %d", v.limits.PackageBytes, ofKey(v.limits.bytesOfKey), v.draft.size)
	}
}

func (v *validator) file(at string, i int, f fileMembers, seen map[string]int) {
	if f.kind != '{' {
		v.add(at + " must be an object")
		return
	}
	var out api.RawFile
	var ok bool
	if out.Name, ok = v.text(at+".name", f.name, true); ok {
		if fault := filename.Fault(out.Name); fault != "" {
			v.add(at + ".name " + fault)
		} else if first, twice := seen[filename.Fold(out.Name)]; twice {
			v.addf("%s.name must be unique in the package, ignoring case and Unicode form; files[%d] has it", at, first)
		} else {
			seen[filename.Fold(out.Name)] = i
		}
	}
	if out.ContentType, ok = v.text(at+".content_type", f.contentType, true); ok && !content.IsMediaType(out.ContentType) {
		v.add(at + ".content_type must be a MIME type, type/subtype without parameters")
	}
	if out.Role, ok = v.text(at+".role", f.role, false); ok && !slices.Contains(api.Roles, out.Role) {
		v.add(at + ".role must be one of " + strings.Join(api.Roles, ", "))
	}
	if out.Encoding, ok = v.text(at+".encoding", f.encoding, false); ok && out.Encoding != api.EncodingBase64 {
		v.add(at + ".encoding must be " + api.EncodingBase64 + " or absent")
	}
	if v.raw {
		out.SizeBytes, _ = v.size(at+".size_bytes", f.size)
	} else {
		b := v.fileContent(at, f.content, out.Encoding)
		out.SizeBytes = int64(len(b))
		v.draft.inMemory = append(v.draft.inMemory, b)
	}
	v.draft.size += out.SizeBytes
	v.draft.files = append(v.draft.files, out)
}

// fileContent decodes the content of a file in a JSON body.
func (v *validator) fileContent(at string, s span, encoding string) []byte {
	switch {
	case !s.present():
		v.add(at + ".content is required")
		return nil
	case s.in(v.body).Kind() != '"':
		v.add(at + ".content must be a string")
		return nil
	}
	b := unquote(s.in(v.body))
	if encoding == api.EncodingBase64 {
		var ok bool
		if b, ok = decodeBase64(b); !ok {
			v.add(at + ".content must be base64: the standard alphabet, padded, without line breaks")
		}
	}
	return b
}

func (v *validator) ttl(s span) {
	if !s.present() {
		v.add("ttl_seconds is required")
		return
	}
	n, ok := v.integer("ttl_seconds", s, v.limits.MinTTLSeconds, v.limits.MaxTTLSeconds, ofKey(v.limits.ttlOfKey))
	if ok {
		v.draft.ttl = time.Duration(n) * time.Second
	}
}

func (v *validator) maxRetrievals(s span) {
	if !v.null(s) {
		v.draft.maxRetrievals, _ = v.integer("max_retrievals", s, 1, api.MaxRetrievals, "")
	}
}

func (v *validator) metadata(s span) {
	if v.null(s) {
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

// null reports whether a member is absent or null.
func (v *validator) null(s span) bool { return !s.present() || s.in(v.body).Kind() == 'n' }

// text reads a string member. ok is false if the member is absent, null or not a string.
func (v *validator) text(name string, s span, required bool) (_ string, ok bool) {
	if v.null(s) {
		if required {
			v.add(name + " is required")
		}
		return "", false
	}
	if s.in(v.body).Kind() != '"' {
		v.add(name + " must be a string")
		return "", false
	}
	return string(unquote(s.in(v.body))), true
}

// integer reads an integer member. whose is added to the message about its limits: see
// ofKey.
func (v *validator) integer(name string, s span, low, high int, whose string) (_ int, ok bool) {
	value := s.in(v.body)
	if value.Kind() != '0' || strings.Trim(string(value), "-0123456789") != "" {
		v.add(name + " must be an integer")
		return 0, false
	}
	n, err := strconv.Atoi(string(value))
	if err != nil || n < low || n > high {
		v.addf("%s must be between %d and %d%s", name, low, high, whose)
		return 0, false
	}
	return n, true
}
