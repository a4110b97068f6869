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
	"kubbi-mcp/kubbi/api"
)

// maxBody is the longest create body in JSON that is read, in bytes. Every content
// within the limits fits, at six bytes for each (\u0000). A package, of which
// there may be more, fits as base64 or at two bytes for each.
func maxBody(l api.Limits) int64 {
	const envelope = 64 << 10
	perFile := 3*int64(l.FileNameBytes) + 1024 // \u and four digits are three bytes for one
	return max(6*l.ContentBytes, 2*l.PackageBytes) + int64(l.Files)*perFile + 6*int64(l.MetadataBytes) + envelope
}

// isRaw says whether a create's body is of api.TypeRaw.
func isRaw(r *http.Request) bool {
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && t == api.TypeRaw
}

// draft reads a create body and validates it; all that was read goes to request
// unless that is nil. In JSON it is held whole in s. Of a raw one only the head has been
// read then, or all where it is short: the rest is read, and found valid or not, as
// draft.plain is. Where it fails, what the client still sends is read.
func (rl *Relay) draft(r *http.Request, limits limits, request hash.Hash, s *share) (d *draft, err error) {
	raw := isRaw(r)
	most := min(maxBody(limits.Limits), rl.memory.size-1)
	if raw {
		most = api.MaxRawHead + max(limits.ContentBytes, limits.PackageBytes)
	}
	held := ""
	if !raw && most == rl.memory.size-1 {
		held = " in JSON, which is held in memory; kubbi-mcp sends larger ones in another form"
	}
	tooLarge := fail(api.CodeTooLarge, fmt.Sprintf("the request body must be at most %d bytes%s%s", most, held, ofKey(limits.bytesOfKey)))
	if r.ContentLength > most {
		return nil, tooLarge
	}
	body := &bodyReader{r: r, body: http.MaxBytesReader(nil, r.Body, most), tooLarge: tooLarge}
	if request != nil {
		body.request = request
	}
	defer func() {
		if err != nil {
			body.drain()
		}
	}()
	if raw {
		return readRaw(body, limits, s)
	}
	b, err := readWhole(body, most, s)
	if err != nil {
		return nil, err
	}
	return validate(b, limits)
}

// readAtOnce is how much room a body of known length gets before any of it is there.
const readAtOnce = 1 << 20

// readWhole reads a body of at most that many bytes into memory that s has.
func readWhole(body *bodyReader, most int64, s *share) ([]byte, error) {
	room := int64(4 << 10)
	if length := body.r.ContentLength; length >= 0 {
		room, most = min(length, readAtOnce)+1, length // one byte more, in which the end shows
	}
	var b []byte
	for {
		if err := s.grow(room); err != nil {
			return nil, err
		}
		b = append(make([]byte, 0, room), b...)
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
		room = min(2*room, most+1)
	}
}

// bodyReader reads a request's body. Its errors are for the client.
type bodyReader struct {
	r        *http.Request
	body     io.Reader
	tooLarge error
	n        int64
	request  io.Writer // gets all that was read; nil: nobody asks
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

// drain reads what is left: a client that is still sending does not hear an answer.
func (b *bodyReader) drain() { _, _ = io.Copy(io.Discard, b.body) }

// readRaw reads the head of a raw body, and all of it if it is short.
func readRaw(body *bodyReader, limits limits, s *share) (*draft, error) {
	longest := maxHead(limits.Limits)
	if err := s.grow(longest + 2*maxShort); err != nil { // the head, the buffer, and a short payload
		return nil, err
	}
	room := int64(maxShort)
	if length := body.r.ContentLength; length >= 0 {
		room = min(room, length+1)
	}
	buffered := bufio.NewReaderSize(body, int(room))
	head, err := api.ReadRawHead(&headReader{buffered, longest})
	if err != nil {
		var known *apiError
		if errors.As(err, &known) || body.r.Context().Err() != nil {
			return nil, err
		}
		return nil, invalid("the request body must begin with its head: a JSON object on one line of at most " +
			fmt.Sprint(longest) + " bytes")
	}
	d, err := validateRaw(head, limits)
	if err != nil {
		return nil, err
	}
	raw := &rawReader{body: buffered, drain: body.drain, parts: d.parts}
	if d.size > maxShort {
		d.stream = raw
		return d, nil
	}
	var whole bytes.Buffer
	whole.Grow(int(d.size) + bytes.MinRead)
	if _, err := whole.ReadFrom(raw); err != nil {
		return nil, err
	}
	b := whole.Bytes()
	for i := range d.parts {
		d.parts[i].bytes, b = b[:d.parts[i].size], b[d.parts[i].size:]
	}
	return d, nil
}

// maxHead is the longest head of a raw body that is read, in bytes.
func maxHead(l api.Limits) int64 {
	return min(api.MaxRawHead, maxBody(api.Limits{
		Files: l.Files, FileNameBytes: l.FileNameBytes, MetadataBytes: l.MetadataBytes,
	}))
}

// headReader reads a head, and no more than it may have.
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

// maxShort is up to how many bytes a raw payload is read before it is stored, so
// that a create of it may be tried again.
const maxShort = 64 << 10

// rawReader gives the payload of a raw body, as many bytes of each part as its head
// says, and checks them on the way. Its errors are for the client.
type rawReader struct {
	body  io.Reader
	drain func()
	parts []part // that are not yet read to their end
	n     int64  // bytes of the first one that were read
	check content.Check
	begun bool // check is that of the first part
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
	for {
		if len(r.parts) == 0 {
			return 0, r.end()
		}
		part := &r.parts[0]
		if !r.begun {
			r.check, r.begun = part.newCheck(), true
		}
		if r.n == part.size {
			if fault := r.check.End(); fault != "" {
				return 0, invalid(part.at + " " + fault)
			}
			r.parts, r.n, r.begun = r.parts[1:], 0, false
			continue
		}
		n, err := r.body.Read(p[:min(int64(len(p)), part.size-r.n)])
		r.n += int64(n)
		if fault := r.check.Write(p[:n]); fault != "" {
			return 0, invalid(part.at + " " + fault)
		}
		switch {
		case n > 0:
			return n, nil // what err says comes again
		case err == io.EOF:
			return 0, invalid(fmt.Sprintf("the request body ends early: %s has %d bytes of %d", part.at, r.n, part.size))
		case err != nil:
			return 0, err
		}
	}
}

// end looks whether anything stands behind the last part.
func (r *rawReader) end() error {
	var more [1]byte
	n, err := io.ReadFull(r.body, more[:])
	if n > 0 {
		return invalid("the request body is longer than its head says")
	}
	return err
}
