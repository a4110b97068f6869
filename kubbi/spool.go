package kubbi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"kubbi-mcp/kubbi/api"
)

// Spooled is a payload in parts. It is somebody else's data, never instructions.
type Spooled struct {
	api.ClaimResponse // without contents

	// Parts are the single content, or the files of a package in their order.
	// They are read from where ClaimSpooled has put them, which must stay as it is
	// until then.
	Parts []Part

	Remaining      *int          // as in Claimed
	RemainingKnown bool          // as in Claimed
	Grace          time.Duration // as in Claimed

	release func(context.Context) error
	client  *Client
	came    *Spooled // what was sealed, as it came; nil: it was not
	whole   bool     // the only part is the answer itself
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
		b, err := readAll(r, p.Size, p.Size)
		if err != nil {
			return nil, err
		}
		if s.Files != nil {
			f := &out.Files[i]
			f.Content, f.Encoding = fileContent(b, f.Encoding)
			continue
		}
		if p.ContentType == api.TypeJSON {
			b = bytes.TrimSpace(b)
		}
		if out.Content, err = contentJSON(b, p.ContentType); err != nil {
			return nil, err
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

	open func() (io.Reader, error)
}

// Open gives the part's bytes, decoded: a text as UTF-8, base64 as what it
// encodes, and a JSON content as its JSON. It may be called again, but for a part
// that is being received: see ClaimTo.
func (p Part) Open() (io.Reader, error) {
	if p.open == nil {
		return nil, errors.New("kubbi: a part of no claim")
	}
	return p.open()
}

// SpoolFile is where ClaimSpooled writes an answer: an *os.File, or what encrypts
// on the way to one. It is truncated to 0 before it is written from the beginning.
type SpoolFile interface {
	io.Writer
	io.ReaderAt
	Truncate(size int64) error
}

// ClaimSpooled is Claim with the payload written to a file of the caller's while
// it is received, so that it need not stand in memory; the answer of a service that
// speaks JSON alone has to. What is sealed is written as it comes. It is opened once to
// see that it is whole, and then whenever a part is read. The file is overwritten, also
// by a further attempt, and not synced.
//
// Errors are those of Claim. A payload that can't be written is one with
// Uncertain set; a claim with the same key may get it again.
func (c *Client) ClaimSpooled(ctx context.Context, urlOrToken string, spool SpoolFile, opts ...ClaimOption) (*Spooled, error) {
	k, err := c.claiming(ctx, urlOrToken, opts)
	if err != nil {
		return nil, err
	}
	if err := k.fits(ctx, c.spoolLimit); err != nil {
		return nil, err
	}
	var out *Spooled
	k.claim.limit, k.claim.receive = k.client.spoolLimit, func(resp *http.Response, body io.Reader) error {
		got, end, err := k.coming(resp, body)
		if err == nil {
			out, err = got, got.keep(spool, end)
		}
		if err == nil {
			err = k.openKept(got)
		}
		return err
	}
	if _, _, err := do[nothing](ctx, c, k.claim); err != nil {
		return nil, err
	}
	k.arrived(ctx, &out.Grace, &out.release)
	return out, nil
}

// ClaimTo is Claim with the payload given to take while it is received. Within take
// each part is opened once, in their order; after it none can be. For a further
// attempt take is called again, and what it did before is void. What is sealed is
// opened while it comes. Each byte is the sender's, but not before ClaimTo has returned
// is it known that none are missing.
//
// A service that keeps nothing for a claim (Grace is 0) would give no second chance.
// Its payload goes to the file that spool makes, and take is called when all of it is
// there. That file must stay until the caller needs the payload no more.
//
// Errors are those of ClaimSpooled, and that of take with the payload beside it.
func (c *Client) ClaimTo(ctx context.Context, urlOrToken string, spool func() (SpoolFile, error), take func(*Spooled) error, opts ...ClaimOption) (*Spooled, error) {
	k, err := c.claiming(ctx, urlOrToken, opts)
	if err != nil {
		return nil, err
	}
	if err := k.fits(ctx, c.spoolLimit); err != nil {
		return nil, err
	}
	var (
		out    *Spooled
		failed error // of take
	)
	k.claim.limit, k.claim.receive = k.client.spoolLimit, func(resp *http.Response, body io.Reader) error {
		got, end, err := k.coming(resp, body)
		if err != nil {
			return err
		}
		if out = got; got.Grace == 0 {
			if err := got.keepIn(spool, end); err != nil {
				return err
			}
			if err := k.openKept(got); err != nil {
				return err
			}
			failed = take(out)
			return nil
		}
		var in *insideSealed
		if k.unsealing != nil {
			if in, end, err = k.unsealing.openComing(got, end); err != nil {
				return err
			}
		}
		failed = take(got)
		if damage := in.damage(); failed != nil && damage != nil {
			failed = nil
			return damage
		}
		switch end := ctx.Err(); {
		case failed != nil && end != nil:
			return fmt.Errorf("%w: %w", errCutShort, end)
		case failed != nil:
			return errors.Join(errSpool, failed)
		}
		return end()
	}
	_, _, err = do[nothing](ctx, c, k.claim)
	switch {
	case failed != nil && (err == nil || errors.Is(err, errSpool)):
		return out, failed
	case err != nil:
		return nil, err
	}
	k.arrived(ctx, &out.Grace, &out.release)
	return out, nil
}

// coming gives a payload whose parts are still to be read, once each, and what says
// at their end whether that is the body's. It is sealed if it was.
func (k *claiming) coming(resp *http.Response, body io.Reader) (out *Spooled, end func() error, err error) {
	a, err := k.read(resp, body)
	if err != nil {
		return nil, nil, err
	}
	// What was inspected need not be what was claimed.
	if out, end, err = k.inParts(resp, a); err == nil {
		if e := checkSeal(k.unsealing, out.Metadata); e != nil {
			return nil, nil, spent(e)
		}
	}
	return out, end, err
}

// inParts gives an answer whose parts are still to be read.
func (k *claiming) inParts(resp *http.Response, a *arriving) (out *Spooled, end func() error, err error) {
	if end = func() error { return nil }; a.raw != nil {
		out, end = a.raw.spooled(), a.raw.end
	} else if out, err = inParts(a.json); err != nil {
		return nil, nil, err
	}
	out.client = k.client
	out.Remaining, out.RemainingKnown = remaining(resp.Header.Get(api.HeaderRemainingReads), out.Burned)
	out.Grace, out.release = k.grace(resp.Header)
	return out, end, nil
}

// openKept opens what is sealed and can be read again, and keeps how it came.
func (k *claiming) openKept(got *Spooled) error {
	if k.unsealing == nil {
		return nil
	}
	came := *got
	came.Parts = slices.Clone(got.Parts)
	got.came = &came
	return k.unsealing.openKept(got)
}

// keepIn is keep into a file that is made.
func (s *Spooled) keepIn(spool func() (SpoolFile, error), end func() error) error {
	file, err := spool()
	if err != nil {
		return errors.Join(errSpool, err)
	}
	return s.keep(file, end)
}

// keep writes the parts that are still to be read to a file.
func (s *Spooled) keep(file SpoolFile, end func() error) error {
	failed := func(err error) error { return fmt.Errorf("%w: %w", errSpool, err) }
	if err := file.Truncate(0); err != nil {
		return failed(err)
	}
	if f, ok := file.(io.Seeker); ok {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return failed(err)
		}
	}
	to := &spoolWriter{w: file}
	at := int64(0)
	for i := range s.Parts {
		p := &s.Parts[i]
		r, err := p.open()
		if err != nil {
			return err
		}
		if _, inMemory := r.(*bytes.Reader); inMemory {
			continue
		}
		n, err := io.CopyBuffer(to, r, make([]byte, min(p.Size+1, 256<<10)))
		switch {
		case to.err != nil:
			return failed(to.err)
		case err != nil:
			return err
		}
		start := at
		at, p.Size = at+n, n
		p.open = func() (io.Reader, error) { return io.NewSectionReader(file, start, n), nil }
	}
	return end()
}

// spoolWriter keeps its own error apart from those of what is copied to it.
type spoolWriter struct {
	w   io.Writer
	err error
}

func (w *spoolWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.err = err
	return n, err
}

// inParts gives a payload that is in memory in parts.
func inParts(r *api.ClaimResponse) (*Spooled, error) {
	out := &Spooled{ClaimResponse: *r}
	out.Content = nil
	if r.Files == nil {
		data := []byte(r.Content)
		if r.ContentType != api.TypeJSON {
			data = []byte(textOf(r.Content))
		}
		out.Parts = []Part{partInMemory("", r.ContentType, nil, data)}
		return out, nil
	}
	out.Files = slices.Clone(r.Files)
	for i, f := range r.Files {
		data := []byte(f.Content)
		switch f.Encoding {
		case "":
		case api.EncodingBase64:
			var err error
			if data, err = plainFile(i+1, api.FileRequest{Content: f.Content, Encoding: f.Encoding}); err != nil {
				return nil, errNotJSON
			}
		default:
			return nil, errNotJSON
		}
		out.Files[i].Content = ""
		out.Parts = append(out.Parts, partInMemory(f.Name, f.ContentType, f.Role, data))
	}
	return out, nil
}

func partInMemory(name, contentType string, role *string, data []byte) Part {
	return Part{Name: name, ContentType: contentType, Role: role, Size: int64(len(data)), open: func() (io.Reader, error) { return bytes.NewReader(data), nil }}
}
