package relay

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"kubbi-mcp/internal/content"
	"kubbi-mcp/kubbi/api"
)

// quality is the greatest weight that a request's Accept header gives to a media type; 0:
// none. Wildcards do not count: a client that accepts anything gets the API's JSON.
func quality(r *http.Request, mediaType string) (most float64) {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		t, params, err := mime.ParseMediaType(part)
		if err != nil || t != mediaType {
			continue
		}
		q := 1.0
		if s, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(s, 64); err != nil {
				continue
			}
		}
		most = max(most, q)
	}
	return most
}

// answerRaw answers in api.TypeRaw: a head, and the payload after it.
func (c *claimed) answerRaw(w http.ResponseWriter) error {
	head := api.RawClaim{
		ContentType: c.ContentType, Files: c.Files, Metadata: []byte(c.Metadata), Burned: c.claim.Burned,
		CreatedAt: api.NewTime(c.CreatedAt), ExpiresAt: api.NewTime(c.ExpiresAt),
	}
	if c.Package {
		head.Type = api.TypePackage
	} else {
		head.ContentBytes = &c.Size
	}
	b, err := api.AppendRawHead(nil, head)
	if err != nil {
		return err
	}
	length := int64(len(b)) + c.Size
	w.Header().Set("Content-Type", api.TypeRaw)
	w.Header().Set("Content-Length", strconv.FormatInt(length, 10))
	size := 4 << 10 // of a long answer, which goes past the buffer after its head
	if length < answerBuffer {
		size = int(length) + 1
	}
	out := bufio.NewWriterSize(clientWriter{w}, size)
	_, _ = out.Write(b) // Flush returns its error
	if err := c.copy(out, c.Size); err != nil {
		return err
	}
	if err := c.done(); err != nil {
		return err
	}
	return out.Flush()
}

// writeJSON writes an api.ClaimResponse. w must return its first error again, as a
// bufio.Writer does, or never fail.
func (c *claimed) writeJSON(w io.Writer) error {
	resp := api.ClaimResponse{
		ContentType: c.ContentType, Metadata: []byte(c.Metadata), Burned: c.claim.Burned,
		CreatedAt: api.NewTime(c.CreatedAt), ExpiresAt: api.NewTime(c.ExpiresAt),
	}
	member := `"content":""`
	if c.Package {
		resp.Type, resp.FileCount, resp.Files = api.TypePackage, &c.FileCount, []api.ClaimedFile{}
		member = `"files":[]`
	} else {
		resp.Content = []byte(`""`)
	}
	before, after, err := split(resp, member)
	if err != nil {
		return err
	}
	isJSON := !c.Package && c.ContentType == api.TypeJSON
	if isJSON { // the content needs no quotes
		before, after = before[:len(before)-1], after[1:]
	}
	_, _ = w.Write(before)
	switch {
	case c.Package:
		err = c.writeFiles(w)
	case isJSON:
		err = c.copy(w, c.Size)
	default:
		err = c.writeString(w, "", c.Size)
	}
	if err != nil {
		return err
	}
	if err := c.done(); err != nil {
		return err
	}
	_, _ = w.Write(after)
	return nil
}

func (c *claimed) writeFiles(w io.Writer) error {
	for i, f := range c.Files {
		before, after, err := split(api.ClaimedFile{
			Name: f.Name, ContentType: f.ContentType, SizeBytes: f.SizeBytes, Role: optional(f.Role), Encoding: f.Encoding,
		}, `"content":""`)
		if err != nil {
			return err
		}
		if i > 0 {
			_, _ = w.Write([]byte(","))
		}
		_, _ = w.Write(before)
		if err := c.writeString(w, f.Encoding, f.SizeBytes); err != nil {
			return err
		}
		_, _ = w.Write(after)
	}
	return nil
}

// writeString writes the next bytes of the payload as the inside of a JSON string.
func (c *claimed) writeString(w io.Writer, encoding string, size int64) error {
	var out io.WriteCloser = &stringWriter{w: w}
	if encoding == api.EncodingBase64 {
		out = base64.NewEncoder(base64.StdEncoding, w)
	}
	if err := c.copy(out, size); err != nil {
		return err
	}
	return out.Close()
}

// stringWriter writes text as the inside of a JSON string.
type stringWriter struct {
	w      io.Writer
	in     []byte
	cut    []byte // an incomplete rune at the end of the last Write
	quoted []byte

	scratch []byte
}

func (s *stringWriter) Write(p []byte) (int, error) {
	text := p
	if len(s.cut) > 0 {
		s.in = append(append(s.in[:0], s.cut...), p...)
		text = s.in
	}
	whole := content.WholeRunes(text)
	var err error
	if s.quoted, err = appendQuoted(s.quoted[:0], text[:whole], &s.scratch); err != nil {
		return 0, errNotText
	}
	s.cut = append(s.cut[:0], text[whole:]...)
	if _, err := s.w.Write(s.quoted); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (s *stringWriter) Close() error {
	if len(s.cut) > 0 {
		return errNotText
	}
	return nil
}

// errNotText can't happen, since a text was checked to be UTF-8 before it was sealed.
var errNotText = errors.New("a text that was stored is not UTF-8")

// split encodes v and splits it inside the empty value of a member, where the payload will
// be written. The first match is always the member: inside strings, quotes are escaped.
func split(v any, member string) (before, after []byte, err error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, nil, err
	}
	i := bytes.Index(b, []byte(member))
	if i < 0 {
		return nil, nil, fmt.Errorf("answer has no member %s", member)
	}
	i += len(member) - 1
	return b[:i], b[i:], nil
}
