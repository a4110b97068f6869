package kubbi

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/kubbi/api"
)

var errNotRaw = errors.New("the answer is not a payload of the kind this API gives")

// rawReader reads the parts of a raw body. Each part can be read once, in order.
type rawReader struct {
	body  byteReader
	sizes []int64 // of the parts
	next  int     // part to be opened
	left  int64   // bytes of the part before next
}

type byteReader interface {
	io.Reader
	io.ByteReader
}

// readRaw reads the head of a raw body: an api.RawClaim, or the sealedHead of a sealed
// payload. The error is errTooLarge for a payload of more than limit bytes, and errNotRaw
// for an invalid head.
func readRaw(r io.Reader, limit int64) (*arrival, error) {
	in := new(rawReader)
	if body, ok := r.(byteReader); ok {
		in.body = body
	} else {
		in.body = bufio.NewReader(r)
	}
	line, err := api.ReadRawHead(in.body)
	if err != nil {
		if _, eof := in.body.ReadByte(); errors.Is(eof, io.EOF) {
			return nil, errCutShort
		}
		return nil, errNotRaw
	}
	var head api.RawClaim
	if decode(line, &head) != nil {
		return nil, errNotRaw
	}
	out := &arrival{end: in.end, Claimed: &Claimed{ClaimResponse: api.ClaimResponse{
		Type: head.Type, ContentType: head.ContentType, Metadata: head.Metadata,
		Burned: head.Burned, CreatedAt: head.CreatedAt, ExpiresAt: head.ExpiresAt,
	}}}
	add := func(part Part) bool {
		ok := part.Size >= 0 && part.Size <= limit-out.size
		i := len(in.sizes)
		part.open = func() (io.Reader, error) { return in.open(i) }
		in.sizes, out.Parts = append(in.sizes, part.Size), append(out.Parts, part)
		out.size += part.Size
		return ok
	}
	switch {
	case head.Files == nil && head.ContentBytes == nil:
		return nil, uncertainly(incomplete("content and files"))
	case head.Files == nil:
		cutClaim(&out.ClaimResponse)
		if !add(Part{ContentType: out.ContentType, Size: *head.ContentBytes}) {
			return nil, tooLarge(limit)
		}
		return out, nil
	}
	out.Files, out.FileCount = make([]api.ClaimedFile, len(head.Files)), new(len(head.Files))
	for i, f := range head.Files {
		out.Files[i] = api.ClaimedFile{Name: f.Name, ContentType: f.ContentType, SizeBytes: f.SizeBytes, Encoding: f.Encoding}
		if f.Role != "" {
			out.Files[i].Role = new(f.Role)
		}
	}
	cutClaim(&out.ClaimResponse)
	for _, f := range out.Files {
		if f.Encoding != "" && f.Encoding != api.EncodingBase64 {
			return nil, errNotRaw
		}
		if !add(Part{Name: f.Name, ContentType: f.ContentType, Role: f.Role, Size: f.SizeBytes}) {
			return nil, tooLarge(limit)
		}
	}
	return out, nil
}

// open opens a part.
func (in *rawReader) open(i int) (io.Reader, error) {
	if i != in.next || in.left > 0 {
		return nil, errPartsOnce
	}
	in.next, in.left = in.next+1, in.sizes[i]
	return in, nil
}

var errPartsOnce = errors.New("kubbi: each part of a payload that is being received can be read once, in order")

// end skips the rest of the parts and checks that the body ends after them.
func (in *rawReader) end() error {
	for _, size := range in.sizes[in.next:] {
		in.left += size
	}
	in.next = len(in.sizes)
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	switch _, err := in.body.ReadByte(); err {
	case io.EOF:
		return nil
	case nil:
		return errNotRaw
	default:
		return err
	}
}

// Read reads the open part. If bytes are missing, the error is io.ErrUnexpectedEOF.
func (in *rawReader) Read(b []byte) (int, error) {
	if in.left == 0 {
		return 0, io.EOF
	}
	n, err := in.body.Read(b[:min(int64(len(b)), in.left)])
	in.left -= int64(n)
	if err == io.EOF && in.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// contentJSON gives the bytes of a single content as JSON.
func contentJSON(b []byte, contentType string) (json.RawMessage, error) {
	if contentType == api.TypeJSON {
		b = bytes.TrimSpace(b)
		if !jsontext.Value(b).IsValid(jsontext.AllowDuplicateNames(true)) {
			return nil, errNotRaw
		}
		return b, nil
	}
	out, err := jsontext.AppendQuote(make([]byte, 0, len(b)+len(b)/8+2), b)
	if err != nil { // not UTF-8
		return nil, errNotRaw
	}
	return out, nil
}

// fileContent gives a file's content and encoding in JSON. Bytes that are not UTF-8 become
// base64, even if the sender named no encoding.
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
