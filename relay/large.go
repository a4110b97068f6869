package relay

import (
	"bytes"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/internal/spool"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/kubbi/api/outline"
	"kubbi-mcp/relay/atrest"
	"kubbi-mcp/relay/store"
)

// maxWholeBody is up to how many bytes a create body is read in one piece: a
// content of a megabyte with its escapes is, which is faster by a third.
const maxWholeBody = 2 << 20

// maxOutline is how much of a larger one may stand outside of its contents.
func maxOutline(l api.Limits) int {
	return 1<<20 + l.Files*(max(outline.Short, l.MetadataBytes)+3*l.FileNameBytes+1024) + 6*l.MetadataBytes
}

// part is the plaintext of a part of a payload.
type part struct {
	size  int64
	bytes []byte
	open  func() io.Reader // nil: bytes has it
}

func inBody(b []byte) part { return part{size: int64(len(b)), bytes: b} }

func (p part) seal(random io.Reader, key *atrest.Key, b atrest.Binding) iter.Seq2[[]byte, error] {
	if p.open == nil {
		return key.Seal(random, b, p.bytes)
	}
	return func(yield func([]byte, error) bool) {
		r := readAhead(p.open())
		defer r.close()
		for sealed, err := range key.SealReader(random, b, r) {
			if !yield(sealed, err) {
				return
			}
		}
	}
}

// draft reads a create body, writes it to request unless that is nil, and
// validates it. A large one is never in memory as a whole: its contents wait in
// a spool, since their sizes, which they are sealed with, are known at its end.
func (rl *Relay) draft(r *http.Request, limits limits, request hash.Hash) (*draft, error) {
	most := maxBody(limits.Limits)
	tooLarge := fail(api.CodeTooLarge, fmt.Sprintf("the request body must be at most %d bytes%s", most, ofKey(limits.bytesOfKey)))
	if r.ContentLength > most {
		return nil, tooLarge
	}
	body := &bodyReader{r: r, body: http.MaxBytesReader(nil, r.Body, most), tooLarge: tooLarge}
	if request != nil {
		body.request = request
	}
	first := make([]byte, 0, firstPiece(r.ContentLength))
	for len(first) <= maxWholeBody {
		if len(first) == cap(first) {
			first = append(first, 0)[:len(first)] // grows it
		}
		n, err := body.Read(first[len(first):min(cap(first), maxWholeBody+1)])
		first = first[:len(first)+n]
		if err == io.EOF {
			return validate(first, limits)
		}
		if err != nil {
			return nil, err
		}
	}
	sp, err := spool.New(rl.cfg.SpoolDir)
	if err != nil {
		return nil, err
	}
	if request != nil {
		hashing := newAside(request)
		defer hashing.close()
		body.request = hashing
	}
	short := max(outline.Short, limits.MetadataBytes) // so that of good metadata nothing is left out
	d, err := validateLarge(io.MultiReader(bytes.NewReader(first), body), sp, short, limits)
	if err != nil {
		// A client that is still sending does not hear an answer.
		_, _ = io.Copy(io.Discard, body)
		return nil, errors.Join(err, sp.Close())
	}
	d.spool = sp
	return d, nil
}

// firstPiece is the room for a body of that length, -1 if it is not known: one
// byte more, in which the end shows.
func firstPiece(length int64) int64 {
	if length < 0 {
		return 4 << 10
	}
	return min(length, maxWholeBody) + 1
}

// close gives up what the draft's parts are read from.
func (d *draft) close() {
	if d.spool != nil {
		_ = d.spool.Close() // a file without a name
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

// large is a body whose long values are in a spool.
type large struct {
	outline *outline.Outline
	spool   *spool.Spool
}

// validateLarge is validate for a body whose values of more than short bytes
// go to a spool. What its draft's parts give is read from there.
func validateLarge(body io.Reader, sp *spool.Spool, short int, limits limits) (*draft, error) {
	keeping := newAside(spoolWriter{sp})
	o, err := outline.Read(body, outline.Config{
		Short: short, Max: maxOutline(limits.Limits), Content: true,
		Keep: func(p []byte) error { _, err := keeping.Write(p); return err },
	})
	if kerr := keeping.close(); err == nil {
		err = kerr
	}
	var fault *outline.Error
	switch {
	case errors.Is(err, outline.ErrTooLarge):
		return nil, fail(api.CodeTooLarge, "the request body has too much in it beside its contents")
	case errors.As(err, &fault):
		return nil, invalid(faultAt(nil, fault, fault.Offset))
	case errors.Is(err, io.ErrUnexpectedEOF) && o != nil:
		return nil, invalid(syntaxFault(o.JSON, err, o))
	case err != nil:
		return nil, err
	}
	l := &large{o, sp}
	if err := l.check(); err != nil {
		return nil, err
	}
	wire, err := decodeCreate(o.JSON, limits.Files, o)
	if err != nil {
		return nil, err
	}
	v := &validator{body: o.JSON, large: l, limits: limits}
	return v.validate(wire)
}

// spoolWriter tells a full disk from a fault of the request's, or of ours.
type spoolWriter struct{ sp *spool.Spool }

func (w spoolWriter) Write(p []byte) (int, error) {
	n, err := w.sp.Write(p)
	if err != nil {
		err = fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return n, err
}

// check reads the arrays and objects that were left out, which nobody has
// looked into yet.
func (l *large) check() error {
	for _, v := range l.outline.Left {
		if v.String {
			continue
		}
		dec := jsontext.NewDecoder(outline.NewReader(l.spool.Section(v.Kept, v.End-v.Start)), jsontext.AllowDuplicateNames(true))
		var err error
		for err == nil {
			_, err = dec.ReadToken()
		}
		if !errors.Is(err, io.EOF) || dec.StackDepth() > 0 {
			// The place is that in the outline of the value: at or before the fault.
			return invalid(faultAt(nil, err, v.Start+dec.InputOffset()))
		}
	}
	return nil
}

// at gives the value that stands there if it was left out, else nil.
func (l *large) at(s span) *outline.Value {
	if l == nil {
		return nil
	}
	if left := l.outline.In(s.start, s.end); len(left) == 1 && left[0].At == s.start {
		return &left[0]
	}
	return nil
}

// missing is by how many bytes what stands there is longer than it seems.
func (l *large) missing(s span) (n int64) {
	if l == nil {
		return 0
	}
	for _, v := range l.outline.In(s.start, s.end) {
		n += v.End - v.Start - int64(len(`""`))
	}
	return n
}

// part gives what a string says, or the JSON that stands there.
func (l *large) part(v *outline.Value, text bool) part {
	inside := func() io.Reader { return l.spool.Section(v.Kept, v.End-v.Start-int64(len(`""`))) }
	switch {
	case text && v.Bytes == v.End-v.Start-int64(len(`""`)): // nothing is escaped
		return part{size: v.Bytes, open: inside}
	case text:
		return part{size: v.Bytes, open: func() io.Reader { return outline.NewTextReader(inside()) }}
	case v.String:
		return part{size: v.End - v.Start, open: func() io.Reader {
			return io.MultiReader(strings.NewReader(`"`), inside(), strings.NewReader(`"`))
		}}
	}
	return part{size: v.End - v.Start, open: func() io.Reader { return l.spool.Section(v.Kept, v.End-v.Start) }}
}

// beginning gives what a string says that is longer than any should be, as much
// of it as shows that.
func (l *large) beginning(v *outline.Value) string {
	b, _ := io.ReadAll(io.LimitReader(l.part(v, true).open(), outline.Short))
	return string(b)
}

// encoded gives what a string of base64 encodes.
func (l *large) encoded(v *outline.Value) (_ part, ok bool) {
	text := l.part(v, true)
	return part{size: v.Base64, open: func() io.Reader { return outline.NewBase64Reader(text.open()) }}, v.Base64 >= 0
}
