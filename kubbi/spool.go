package kubbi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/kubbi/api/outline"
)

// Spooled is a payload in a file. It is somebody else's data, never
// instructions.
type Spooled struct {
	api.ClaimResponse // without contents

	// Parts are the single content, or the files of a package in their order.
	// They are read from the spool, which must stay as it is until then.
	Parts []Part

	Remaining      *int          // as in Claimed
	RemainingKnown bool          // as in Claimed
	Grace          time.Duration // as in Claimed

	release func(context.Context) error
	client  *Client
}

// Release is that of Claimed.
func (s *Spooled) Release(ctx context.Context) error {
	if s.release == nil {
		return nil
	}
	return s.release(ctx)
}

// ReleaseSoon is that of Claimed.
func (s *Spooled) ReleaseSoon(ctx context.Context) {
	if s.release != nil {
		s.client.releaseSoon(ctx, s.release)
	}
}

// Claimed gives the payload in memory, whole.
func (s *Spooled) Claimed() (*Claimed, error) {
	out := &Claimed{ClaimResponse: s.ClaimResponse, Remaining: s.Remaining, RemainingKnown: s.RemainingKnown, Grace: s.Grace, release: s.release, client: s.client}
	out.Files = slices.Clone(s.Files)
	for i, p := range s.Parts {
		r, err := p.Open()
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		switch {
		case p.Name != "" && utf8.Valid(b):
			out.Files[i].Content, out.Files[i].Encoding = string(b), ""
		case p.Name != "":
			out.Files[i].Content, out.Files[i].Encoding = base64.StdEncoding.EncodeToString(b), api.EncodingBase64
		case p.ContentType == api.TypeJSON:
			out.Content = bytes.TrimSpace(b)
		default:
			if out.Content, err = jsontext.AppendQuote(nil, b); err != nil {
				return nil, errors.New("the text is not UTF-8")
			}
		}
	}
	return out, nil
}

// Part is a single content, or a file of a package.
type Part struct {
	Name        string // empty for a single content
	ContentType string
	Role        *string
	Size        int64 // of what Open gives, in bytes

	open func() io.Reader
}

// Open gives the part's bytes, decoded: a text as UTF-8, base64 as what it
// encodes, and a JSON content as its JSON. It may be called again.
func (p Part) Open() (io.Reader, error) {
	if p.open == nil {
		return nil, errors.New("kubbi: a part of no claim")
	}
	return p.open(), nil
}

// SpoolFile is where ClaimSpooled writes an answer: an *os.File, or what encrypts
// on the way to one. It is truncated to 0 before it is written from the beginning.
type SpoolFile interface {
	io.Writer
	io.ReaderAt
	Truncate(size int64) error
}

// ClaimSpooled is Claim with the answer written to a file of the caller's while
// it is received, so that it need not stand in memory; what was sealed has to,
// though. The file is overwritten, also by a further attempt, and not synced; where
// the claim counted and something failed after it, it holds what arrived.
//
// Errors are those of Claim. An answer that can't be written is one with
// Uncertain set; a claim with the same key may get it again.
func (c *Client) ClaimSpooled(ctx context.Context, urlOrToken string, spool SpoolFile, opts ...ClaimOption) (*Spooled, error) {
	k, err := c.claiming(ctx, urlOrToken, opts)
	if err != nil {
		return nil, err
	}
	if k.claim.limit = c.spoolLimit; k.unsealing != nil {
		k.claim.limit = c.answerLimit // it has to stand in memory
	}
	a := &spooledAnswer{file: spool}
	k.claim.receive = a.receive
	_, header, err := do[nothing](ctx, c, k.claim)
	if err != nil {
		return nil, err
	}
	out := &Spooled{client: c}
	if k.unsealing != nil {
		err = a.unseal(k.unsealing, out)
	} else {
		// What was inspected need not be what was claimed.
		if err = openClaim(nil, &a.body.ClaimResponse); err == nil {
			err = a.parts(out)
		}
	}
	if err != nil {
		return nil, err
	}
	out.Remaining, out.RemainingKnown = remaining(header.Get(api.HeaderRemainingReads), out.Burned)
	out.Grace, out.release = k.grace(ctx, header)
	return out, nil
}

// receive has f read an answer of at most limit bytes.
func receive(resp *http.Response, limit int64, w *watch, f func(io.Reader) error) error {
	if resp.ContentLength > limit {
		return fmt.Errorf("%w of %d bytes", errTooLarge, limit)
	}
	body := &receiving{r: io.LimitReader(watchedReader{resp.Body, w}, limit+1)}
	err := f(body)
	switch {
	case body.err != nil:
		return fmt.Errorf("%w: %w", errCutShort, quiet(body.err))
	case body.n > limit:
		return fmt.Errorf("%w of %d bytes", errTooLarge, limit)
	case err == nil && resp.ContentLength > body.n:
		return errCutShort
	}
	return err
}

// receiving keeps the network's errors apart from those of a reader's own.
type receiving struct {
	r   io.Reader
	n   int64
	err error
}

func (r *receiving) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.n += int64(n)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// spooledAnswer is a claim's answer in a file, and its outline.
type spooledAnswer struct {
	file    SpoolFile
	short   int // as in outline.Config
	size    int64
	outline *outline.Outline
	body    spooledBody
}

// spooledBody is an api.ClaimResponse with places where it has contents.
type spooledBody struct {
	api.ClaimResponse
	Content  span          `json:"content"`
	Files    []spooledFile `json:"files"`
	Metadata span          `json:"metadata"`
}

type spooledFile struct {
	api.ClaimedFile
	Content span `json:"content"`
}

// span is where a value stands in the outline.
type span struct{ start, end int }

// UnmarshalJSONFrom notes the place of a value.
func (s *span) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	v, err := dec.ReadValue()
	s.end = int(dec.InputOffset())
	s.start = s.end - len(v)
	return err
}

// spoolWriter keeps its own error apart from those of what is copied to it.
type spoolWriter struct {
	w   io.Writer
	n   int64
	err error
}

func (w *spoolWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.n += int64(n)
	w.err = err
	return n, err
}

// receive writes an answer to the file and finds its way in it.
func (a *spooledAnswer) receive(r io.Reader) error {
	failed := func(err error) error { return fmt.Errorf("%w: %w", errSpool, err) }
	if err := a.file.Truncate(0); err != nil {
		return failed(err)
	}
	if f, ok := a.file.(io.Seeker); ok {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return failed(err)
		}
	}
	to := &spoolWriter{w: a.file}
	buffered := bufio.NewWriterSize(to, 256<<10)
	o, err := outline.Read(io.TeeReader(r, buffered), outline.Config{Short: a.short, Max: smallAnswerLimit, Content: true})
	if ferr := buffered.Flush(); ferr != nil {
		return failed(ferr)
	}
	var fault *outline.Error
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errCutShort
	case errors.Is(err, outline.ErrTooLarge):
		return errTooLarge
	case errors.As(err, &fault):
		return errNotJSON
	case err != nil:
		return err
	}
	a.outline, a.size, a.body = o, to.n, spooledBody{}
	if err := decode(o.JSON, &a.body); err != nil {
		return err
	}
	return a.check()
}

// check finds what decode does not see, as it is not in the outline.
func (a *spooledAnswer) check() error {
	for _, v := range a.outline.Left {
		if !v.String && checkJSON(a.section(v.Start, v.End)) != nil {
			return errNotJSON
		}
	}
	m := a.body.Metadata
	if len(a.outline.In(m.start, m.end)) > 0 {
		return nil // more than it may have: left out, as the claim has counted
	}
	if raw := jsontext.Value(a.outline.JSON[m.start:m.end]); len(raw) > 0 && raw.Kind() != 'n' {
		a.body.ClaimResponse.Metadata = json.RawMessage(raw)
	}
	return nil
}

func (a *spooledAnswer) section(start, end int64) io.Reader {
	return io.NewSectionReader(a.file, start, end-start)
}

// parts fills in an answer whose contents are in the file.
func (a *spooledAnswer) parts(out *Spooled) error {
	out.ClaimResponse = a.body.ClaimResponse
	cutClaim(&out.ClaimResponse)
	if a.body.Files == nil {
		if a.body.Content.end == 0 {
			return noPayload()
		}
		p := Part{ContentType: out.ContentType}
		a.fill(&p, a.body.Content, "", out.ContentType == api.TypeJSON)
		out.Parts = []Part{p}
		return nil
	}
	for _, f := range a.body.Files {
		f.ContentType, f.Role = cutText(f.ContentType, maxLabel), cutRole(f.Role)
		out.Files = append(out.Files, f.ClaimedFile)
		p := Part{Name: f.Name, ContentType: f.ContentType, Role: f.Role}
		if !a.fill(&p, f.Content, f.Encoding, false) || f.Encoding != "" && f.Encoding != api.EncodingBase64 {
			e := badAnswer(http.StatusOK, errNotJSON)
			e.Uncertain = true
			return e
		}
		out.Parts = append(out.Parts, p)
	}
	return nil
}

// fill says where a part is and how large; false: it is not a string, or not
// base64 though it should be.
func (a *spooledAnswer) fill(p *Part, s span, encoding string, raw bool) bool {
	value := jsontext.Value(a.outline.JSON[s.start:s.end])
	start, end := a.outline.Pos(s.start), a.outline.Pos(s.end)
	if value.Kind() != '"' || raw {
		p.Size = end - start
		p.open = func() io.Reader { return a.section(start, end) }
		return value.Kind() == '"'
	}
	inside := func() io.Reader { return outline.NewTextReader(a.section(start+1, end-1)) }
	var size, decoded int64
	if left := a.outline.In(s.start, s.end); len(left) > 0 {
		size, decoded = left[0].Bytes, left[0].Base64
	} else {
		text, _ := jsontext.AppendUnquote(nil, value) // decode has looked at it
		n, err := io.Copy(io.Discard, outline.NewBase64Reader(bytes.NewReader(text)))
		if size, decoded = int64(len(text)), n; err != nil {
			decoded = -1
		}
	}
	if size == end-start-int64(len(`""`)) { // nothing is escaped
		inside = func() io.Reader { return a.section(start+1, end-1) }
	}
	if encoding == "" {
		p.Size, p.open = size, inside
		return true
	}
	p.Size = decoded
	p.open = func() io.Reader { return outline.NewBase64Reader(inside()) }
	return decoded >= 0
}

// unseal fills in an answer that has to be opened, all of it or nothing. What is
// opened stands in memory.
func (a *spooledAnswer) unseal(key *sealKey, out *Spooled) error {
	if e := checkSeal(key, a.body.ClaimResponse.Metadata); e != nil {
		return spent(e)
	}
	if err := a.parts(out); err != nil {
		return err
	}
	if out.Files == nil {
		s, err := key.openLarge(out.Parts[0].open(), out.Parts[0].Size)
		if err == nil {
			err = checkContent(s)
		}
		if err != nil {
			return cantOpen(err)
		}
		out.ContentType, out.Parts[0] = s.contentType, inMemory(s)
		return nil
	}
	files, parts, names := make([]api.ClaimedFile, len(out.Files)), make([]Part, len(out.Files)), map[string]bool{}
	for i, f := range out.Files {
		if f.Encoding != "" {
			return cantOpen(errSealForm)
		}
		s, err := key.openLarge(out.Parts[i].open(), out.Parts[i].Size)
		if err != nil {
			return cantOpen(err)
		}
		l, err := key.fileLabel(s, f.Name, len(files), names)
		if err != nil {
			return cantOpen(err)
		}
		at, p := s.part.File-1, inMemory(s)
		if p.Name = l.Name; parts[at].open != nil {
			return cantOpen(errSealPlace)
		}
		if l.Role != "" {
			p.Role = &l.Role
		}
		parts[at], files[at] = p, api.ClaimedFile{Name: p.Name, ContentType: p.ContentType, SizeBytes: p.Size, Role: p.Role, Encoding: l.Encoding}
	}
	if out.Files, out.Parts = files, parts; len(files) == 0 {
		return cantOpen(errSealPlace)
	}
	return nil
}

func inMemory(s *sealed) Part { return partInMemory("", s.contentType, nil, s.data) }

func partInMemory(name, contentType string, role *string, data []byte) Part {
	return Part{Name: name, ContentType: contentType, Role: role, Size: int64(len(data)), open: func() io.Reader { return bytes.NewReader(data) }}
}
