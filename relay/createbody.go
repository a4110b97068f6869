package relay

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime"
	"net/http"

	"kubbi-mcp/internal/content"
	"kubbi-mcp/internal/filename"
	"kubbi-mcp/kubbi/api"
)

// maxJSONBody is the longest create body in JSON that is read, in bytes. Every content
// within the limits fits, even if each byte is escaped as six bytes (\u0000). A package may
// be larger than a content; it fits as base64, or with two bytes for each byte.
func maxJSONBody(l api.Limits) int64 {
	const envelope = 64 << 10
	const perFile = 3*filename.MaxBytes + 1024 // \u and four digits stand for at least two bytes
	return max(6*l.ContentBytes, 2*l.PackageBytes) + int64(l.Files)*perFile + 6*int64(l.MetadataBytes) + envelope
}

func isRaw(r *http.Request) bool {
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && t == api.TypeRaw
}

// readDraft reads and validates a create body. It also writes everything that it reads to
// request, unless that is nil.
//
// It reads the whole of a body in JSON into memory that held reserves. From a raw body it
// reads the head, and the payload if it is short. A longer payload is read and checked later,
// by draft.payload.
func (rl *Relay) readDraft(r *http.Request, limits limits, request hash.Hash, held *reservation) (*draft, error) {
	raw := isRaw(r)
	most, why := api.MaxRawHead+max(limits.ContentBytes, limits.PackageBytes), ""
	if !raw {
		most = maxJSONBody(limits.Limits)
		if inMemory := rl.bodies.size - 1; inMemory <= most {
			most, why = inMemory, " in JSON, which is held in memory; kubbi-mcp sends larger ones in another form"
		}
	}
	return readBody(r, most, why+ofKey(limits.bytesOfKey), request, func(body *bodyReader) (*draft, error) {
		if raw {
			return readRaw(body, limits, held)
		}
		b, err := readWhole(body, most, held)
		if err != nil {
			return nil, err
		}
		return validate(b, false, limits)
	})
}

// readBody reads a body of at most most bytes with read. why ends the message about a longer one.
// If read fails, it reads the rest of the body, because a client that is still sending does not
// read the answer.
func readBody(r *http.Request, most int64, why string, request hash.Hash, read func(*bodyReader) (*draft, error)) (*draft, error) {
	tooLarge := fail(api.CodeTooLarge, fmt.Sprintf("the request body must be at most %d bytes%s", most, why))
	if r.ContentLength > most {
		return nil, tooLarge
	}
	body := &bodyReader{r: r, body: http.MaxBytesReader(nil, r.Body, most), tooLarge: tooLarge, request: request}
	d, err := read(body)
	if err != nil {
		body.drain()
	}
	return d, err
}

// firstBuffer is the largest buffer that is allocated because of a body's announced length.
const firstBuffer = 1 << 20

// readWhole reads a body of at most most bytes into memory that held reserves.
func readWhole(body *bodyReader, most int64, held *reservation) ([]byte, error) {
	size := int64(4 << 10)
	if length := body.r.ContentLength; length >= 0 {
		size, most = min(length, firstBuffer)+1, length // one byte more, to see the end
	}
	var b []byte
	for {
		if err := held.grow(size); err != nil {
			return nil, err
		}
		b = append(make([]byte, 0, size), b...)
		for len(b) < cap(b) {
			n, err := body.Read(b[len(b):cap(b)])
			b = b[:len(b)+n]
			if err == io.EOF {
				return b, nil
			}
			if err != nil {
				return nil, err
			}
		}
		size = min(2*size, most+1)
	}
}

// bodyReader reads a request's body. Its errors are for the client.
type bodyReader struct {
	r        *http.Request
	body     io.Reader
	tooLarge error
	n        int64
	request  io.Writer // gets everything that was read; nil: nothing
}

func (b *bodyReader) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	b.n += int64(n)
	if b.request != nil {
		_, _ = b.request.Write(p[:n]) // a hash
	}
	var over *http.MaxBytesError
	switch {
	case err == nil, err == io.EOF && b.n >= b.r.ContentLength:
		return n, err
	case errors.As(err, &over):
		return n, b.tooLarge
	case b.r.Context().Err() != nil:
		return n, b.r.Context().Err()
	}
	return n, invalid("the request body could not be read to its end")
}

// drain reads the rest of the body.
func (b *bodyReader) drain() { _, _ = io.Copy(io.Discard, b.body) }

// maxShort is the longest raw payload, in bytes, that is read completely before it is
// stored. A create whose payload is in memory can be tried again.
const maxShort = 64 << 10

// readRaw reads the head of a raw body, and a short payload.
func readRaw(body *bodyReader, limits limits, held *reservation) (*draft, error) {
	longest := maxHead(limits.Limits)
	if err := held.grow(longest + 2*maxShort); err != nil { // the head, the buffer, and a short payload
		return nil, err
	}
	size := int64(maxShort)
	if length := body.r.ContentLength; length >= 0 {
		size = min(size, length+1)
	}
	buffered := bufio.NewReaderSize(body, int(size))
	head, err := api.ReadRawHead(&headReader{buffered, longest})
	if err != nil {
		if _, known := errors.AsType[*apiError](err); known || body.r.Context().Err() != nil {
			return nil, err
		}
		return nil, invalid(fmt.Sprintf("the request body must begin with its head: a JSON object on one line of at most %d bytes", longest))
	}
	d, err := validate(head, true, limits)
	if err != nil {
		return nil, err
	}
	d.stream = &rawReader{body: buffered, drain: body.drain, parts: rawParts(d)}
	if d.size > maxShort {
		return d, nil
	}
	payload := bytes.NewBuffer(make([]byte, 0, d.size+bytes.MinRead))
	if _, err := payload.ReadFrom(d.stream); err != nil {
		return nil, err
	}
	d.inMemory, d.stream = [][]byte{payload.Bytes()}, nil
	return d, nil
}

// maxHead is the longest head of a raw body that is read, in bytes.
func maxHead(l api.Limits) int64 {
	return min(api.MaxRawHead, maxJSONBody(api.Limits{Files: l.Files, MetadataBytes: l.MetadataBytes}))
}

// headReader reads at most left bytes.
type headReader struct {
	io.ByteReader
	left int64
}

func (r *headReader) ReadByte() (byte, error) {
	if r.left--; r.left < 0 {
		return 0, io.EOF
	}
	return r.ByteReader.ReadByte()
}

// rawPart is the single content or a file in a raw body.
type rawPart struct {
	name  string // in messages
	size  int64
	check content.Check
}

func rawParts(d *draft) []rawPart {
	if d.files == nil {
		var check content.Check = &content.Text{}
		if d.contentType == api.TypeJSON {
			check = &content.JSON{}
		}
		return []rawPart{{"content", d.size, check}}
	}
	parts := make([]rawPart, len(d.files))
	for i, f := range d.files {
		parts[i] = rawPart{fmt.Sprintf("files[%d]", i), f.SizeBytes, &content.Text{}}
		if f.Encoding == api.EncodingBase64 {
			parts[i].check = content.Bytes{}
		}
	}
	return parts
}

// rawReader reads the payload of a raw body. It checks that each part has the size in the
// head and valid content. Its errors are for the client.
type rawReader struct {
	body  io.Reader
	drain func()
	parts []rawPart // not yet read to their end
	n     int64     // bytes of the first part that were read
	err   error
}

func (r *rawReader) Read(p []byte) (int, error) {
	if r.err != nil || len(p) == 0 {
		return 0, r.err
	}
	n, err := r.read(p)
	if err != nil {
		if r.err = err; err != io.EOF {
			r.drain()
		}
	}
	return n, err
}

func (r *rawReader) read(p []byte) (int, error) {
	for len(r.parts) > 0 {
		part := &r.parts[0]
		if r.n == part.size {
			if fault := part.check.End(); fault != "" {
				return 0, invalid(part.name + " " + fault)
			}
			r.parts, r.n = r.parts[1:], 0
			continue
		}
		n, err := r.body.Read(p[:min(int64(len(p)), part.size-r.n)])
		r.n += int64(n)
		if fault := part.check.Write(p[:n]); fault != "" {
			return 0, invalid(part.name + " " + fault)
		}
		switch {
		case n > 0:
			return n, nil // the next call gets err again
		case err == io.EOF:
			return 0, invalid(fmt.Sprintf("the request body ends early: %s has %d bytes of %d", part.name, r.n, part.size))
		case err != nil:
			return 0, err
		}
	}
	return 0, r.end()
}

// end returns io.EOF unless more bytes follow the last part.
func (r *rawReader) end() error {
	var more [1]byte
	n, err := io.ReadFull(r.body, more[:])
	if n > 0 {
		return invalid("the request body is longer than its head says")
	}
	return err
}
