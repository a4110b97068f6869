package kubbi

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/kubbi/api"
)

// A raw body is a head and the bytes of the payload: see api.TypeRaw.

var errNotRaw = errors.New("the answer is not a payload of the kind this API gives")

// rawBody makes a raw body of a head, and of the sources whose sizes stand in it.
func rawBody(head any, sources []*sourced) (payload, error) {
	line, err := jsonv2.Marshal(head) // which escapes nothing that need not be
	if err != nil {
		return nil, err
	}
	if len(line) >= api.MaxRawHead {
		return nil, invalid("the names, types and metadata have more than %d bytes together", api.MaxRawHead)
	}
	body := bodyOf(append(line, '\n'))
	for _, s := range sources {
		body = append(body, piece{source: s, raw: true})
	}
	return body, nil
}

// rawHead is the head of a create, without its payload.
func rawHead(req api.CreateRequest) api.RawCreate {
	return api.RawCreate{ContentType: req.ContentType, TTLSeconds: req.TTLSeconds, MaxRetrievals: req.MaxRetrievals, Metadata: req.Metadata, Notify: req.Notify}
}

// rawFile is what a head says of a source that is a file.
func rawFile(s *sourced) api.RawFile {
	return api.RawFile{Name: s.Name, ContentType: s.ContentType, SizeBytes: s.Size, Role: s.Role, Encoding: s.Encoding}
}

// rawPayload is a raw body under way: its head has been read, its parts come next.
type rawPayload struct {
	api.ClaimResponse        // without contents
	parts             []Part // without their bytes
	size              int64  // of all parts together, in bytes

	body bodyReader
	next int
	left int64 // of the part before next
}

type bodyReader interface {
	io.Reader
	io.ByteReader
}

// readRaw reads the head of a raw body. A payload of more than limit bytes is
// errTooLarge, and what is no head is errNotRaw. The head may be an api.RawClaim or
// have less in it.
func readRaw(r io.Reader, limit int64) (*rawPayload, error) {
	p := new(rawPayload)
	if body, ok := r.(bodyReader); ok {
		p.body = body
	} else {
		p.body = bufio.NewReader(r)
	}
	line, err := api.ReadRawHead(p.body)
	if err != nil {
		if _, eof := p.body.ReadByte(); errors.Is(eof, io.EOF) {
			return nil, errCutShort
		}
		return nil, errNotRaw
	}
	var head api.RawClaim
	if decode(line, &head) != nil {
		return nil, errNotRaw
	}
	p.ClaimResponse = api.ClaimResponse{
		Type: head.Type, ContentType: head.ContentType, Metadata: head.Metadata,
		Burned: head.Burned, CreatedAt: head.CreatedAt, ExpiresAt: head.ExpiresAt,
	}
	add := func(part Part) bool {
		ok := part.Size >= 0 && part.Size <= limit-p.size
		p.size += part.Size
		p.parts = append(p.parts, part)
		return ok
	}
	switch {
	case head.Files == nil && head.ContentBytes == nil:
		return nil, noPayload()
	case head.Files == nil:
		if !add(Part{ContentType: cutText(head.ContentType, maxLabel), Size: *head.ContentBytes}) {
			return nil, tooLarge(limit)
		}
	default:
		p.Files = make([]api.ClaimedFile, 0, len(head.Files))
		p.FileCount = new(len(head.Files))
		for _, f := range head.Files {
			out := api.ClaimedFile{Name: f.Name, ContentType: f.ContentType, SizeBytes: f.SizeBytes, Encoding: f.Encoding}
			if f.Role != "" {
				out.Role = new(f.Role)
			}
			p.Files = append(p.Files, out)
		}
	}
	cutClaim(&p.ClaimResponse)
	for _, f := range p.Files {
		if f.Encoding != "" && f.Encoding != api.EncodingBase64 {
			return nil, errNotRaw
		}
		if !add(Part{Name: f.Name, ContentType: f.ContentType, Role: f.Role, Size: f.SizeBytes}) {
			return nil, tooLarge(limit)
		}
	}
	return p, nil
}

// open gives the bytes of a part, which are read in the order of the parts, each
// once. Bytes that are missing are io.ErrUnexpectedEOF.
func (p *rawPayload) open(i int) (io.Reader, error) {
	if i != p.next || p.left > 0 {
		return nil, errPartsOnce
	}
	p.next, p.left = p.next+1, p.parts[i].Size
	return (*rawPart)(p), nil
}

var errPartsOnce = errors.New("kubbi: the parts of a payload under way are read once each, in their order")

// end reads what is left of the parts, and says whether the body ends after it.
func (p *rawPayload) end() error {
	for _, part := range p.parts[p.next:] {
		p.left += part.Size
	}
	p.next = len(p.parts)
	if _, err := io.Copy(io.Discard, (*rawPart)(p)); err != nil {
		return err
	}
	switch _, err := p.body.ReadByte(); err {
	case io.EOF:
		return nil
	case nil:
		return errNotRaw
	default:
		return err
	}
}

// rawPart reads the part that was opened.
type rawPart rawPayload

// Read implements io.Reader.
func (p *rawPart) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	n, err := p.body.Read(b[:min(int64(len(b)), p.left)])
	p.left -= int64(n)
	if err == io.EOF && p.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// inMemory reads all parts and gives the payload as JSON has it.
func (p *rawPayload) inMemory() (*api.ClaimResponse, error) {
	for i, part := range p.parts {
		r, err := p.open(i)
		if err != nil {
			return nil, err
		}
		b, err := readAll(r, part.Size, part.Size)
		switch {
		case err != nil:
			return nil, err
		case p.Files != nil:
			f := &p.Files[i]
			f.Content, f.Encoding = fileContent(b, f.Encoding)
		default:
			if p.Content, err = contentJSON(b, part.ContentType); err != nil {
				return nil, err
			}
		}
	}
	return &p.ClaimResponse, p.end()
}

// spooled gives the payload with its parts still to be read, once each.
func (p *rawPayload) spooled() *Spooled {
	for i := range p.parts {
		p.parts[i].open = func() (io.Reader, error) { return p.open(i) }
	}
	return &Spooled{ClaimResponse: p.ClaimResponse, Parts: p.parts}
}

// contentJSON gives a single content of these bytes as JSON.
func contentJSON(b []byte, contentType string) (json.RawMessage, error) {
	if contentType == api.TypeJSON {
		if !jsontext.Value(b).IsValid(jsontext.AllowDuplicateNames(true)) {
			return nil, errNotRaw
		}
		return b, nil
	}
	out, err := jsontext.AppendQuote(make([]byte, 0, len(b)+len(b)/8+2), b)
	if err != nil { // it is not UTF-8
		return nil, errNotRaw
	}
	return out, nil
}

// fileContent gives a file's bytes as JSON has them. What is not UTF-8 is base64,
// whatever its sender said.
func fileContent(b []byte, encoding string) (content, enc string) {
	if encoding == "" && utf8.Valid(b) {
		return string(b), ""
	}
	return base64.StdEncoding.EncodeToString(b), api.EncodingBase64
}

// isRaw reports whether a Content-Type or one of an Accept-Post's types is
// api.TypeRaw.
func isRaw(header string) bool {
	for t := range strings.SplitSeq(header, ",") {
		t, _, _ = strings.Cut(t, ";")
		if strings.EqualFold(strings.TrimSpace(t), api.TypeRaw) {
			return true
		}
	}
	return false
}
