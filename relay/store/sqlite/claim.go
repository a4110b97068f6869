package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/body"
)

// Claim counts a retrieval and gives the payload: see store.Store. The payload
// is read, or its file opened, in the step that counts, since any later one might
// find it wiped.
func (s *Store) Claim(ctx context.Context, token store.Token, key *store.ClaimKey, opens []string, now time.Time) (*store.Claimed, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	if key != nil && key.Grace < time.Millisecond {
		key = nil
	}
	c := &claim{s: s, token: token, key: key, opens: opens, now: store.MillisOf(now)}
	c.do = c.claim
	c.drop = c.close
	if err := s.writer.submit(ctx, &c.op); err != nil {
		return nil, err
	}
	k := c.row.bare()
	k.Secret, k.Record = c.row.secret, c.row.record
	if k.Status == store.Active {
		k.Notify = c.row.notify
	}
	return &store.Claimed{
		Kubbi:   k,
		Number:  c.number,
		Burned:  k.Status == store.Burned,
		Replay:  c.replay,
		Payload: newPayload(ctx, c.sealed, c.file),
	}, nil
}

// claim is a claim on its way to the writer.
type claim struct {
	op
	s      *Store
	token  store.Token
	key    *store.ClaimKey
	opens  []string // master keys; nil: all
	now    store.Millis
	row    row // as the answer has it
	number int
	replay bool
	sealed []byte   // the payload
	file   *os.File // or where it stands
}

func (c *claim) close() {
	if c.file != nil {
		c.file.Close()
		c.file = nil
	}
}

func (c *claim) claim(t *tx) error {
	r := &c.row
	c.close()
	c.replay = false
	if err := r.byToken(t.byNumber, c.token); err != nil {
		return err
	}
	r.Settle(c.now)
	if c.key != nil && r.Sealed {
		g, err := t.grace(r, c.key.Key)
		if err != nil {
			return err
		}
		if g.Until > c.now {
			if !c.canOpen() {
				return store.ErrMasterKey
			}
			c.replay = true
			c.number = g.Number
			r.At(g)
			return c.read(t)
		}
	}
	if err := r.Status.Err(); err != nil {
		if c.key != nil {
			return errors.Join(err, t.otherGrace(r, c.now))
		}
		return err
	}
	if !c.canOpen() {
		return store.ErrMasterKey
	}
	if err := c.read(t); err != nil {
		return err
	}
	r.Count(c.now)
	c.number = r.Retrievals
	if err := t.notify(r, store.EventClaimed, c.now); err != nil {
		return err
	}
	if r.Status == store.Burned {
		if err := t.end(r); err != nil {
			return err
		}
	}
	if c.key != nil {
		g := store.Grace{Until: c.now.After(c.key.Grace), Number: c.number, At: c.now}
		if err := t.setGrace(r, c.key.Key, g, c.now); err != nil {
			return err
		}
	}
	after := *r // the answer keeps Secret and Record
	if err := t.settleRow(&after, c.now); err != nil {
		return err
	}
	return t.rearm(&after, false)
}

// canOpen tells whether the caller has the master key.
func (c *claim) canOpen() bool {
	return c.opens == nil || slices.Contains(c.opens, c.row.masterKey)
}

// read gets secret and payload. It comes before the first write, so that where
// something is missing the claim is as if it had not been.
func (c *claim) read(t *tx) error {
	r := &c.row
	if err := t.unlock(r); err != nil {
		return err
	}
	if r.body >= 0 {
		var err error
		c.file, err = c.s.files.Open(int64(r.number), r.body)
		if errors.Is(err, body.ErrShort) {
			return fmt.Errorf("%w: the payload's file of kubbi %s is missing or not whole", store.ErrDamaged, r.id)
		}
		return c.s.explainFile(err)
	}
	s := t.payload
	s.bindInt(1, int64(r.number))
	ok, err := s.step()
	if err != nil {
		return err
	}
	if ok {
		c.sealed = s.bytes(0)
		s.reset()
	}
	if c.sealed == nil {
		return fmt.Errorf("%w: the payload of kubbi %s is missing", store.ErrDamaged, r.id)
	}
	return nil
}

// Release ends a claim's grace: see store.Store.
func (s *Store) Release(ctx context.Context, token store.Token, key store.Hash, now time.Time) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	at := store.MillisOf(now)
	return s.writer.submit(ctx, &op{do: func(t *tx) error {
		var r row
		if err := r.byToken(t.byNumber, token); err != nil {
			return err
		}
		if !r.Sealed {
			return nil
		}
		found, err := t.endGrace(&r, key)
		if err != nil {
			return err
		}
		if !found {
			return t.otherGrace(&r, at)
		}
		if r.Settle(at) {
			if err := t.end(&r); err != nil {
				return err
			}
		}
		if err := t.settleRow(&r, at); err != nil {
			return err
		}
		return t.rearm(&r, false)
	}})
}

// payload is what a claim gives to read. It ends with the claim's context.
type payload struct {
	ctx  context.Context
	rest []byte
	file *os.File
	stop func() bool
}

func newPayload(ctx context.Context, sealed []byte, file *os.File) *payload {
	p := &payload{ctx: ctx, rest: sealed, file: file}
	if file != nil {
		p.stop = context.AfterFunc(ctx, func() { file.Close() })
	}
	return p
}

func (p *payload) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	if p.file != nil {
		return p.file.Read(b)
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	if n == 0 && len(b) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// WriteTo lets the platform copy a file by itself.
func (p *payload) WriteTo(w io.Writer) (int64, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	if p.file != nil {
		return io.Copy(w, p.file)
	}
	n, err := w.Write(p.rest)
	p.rest = p.rest[n:]
	return int64(n), err
}

// Close lets go of the payload. Closing twice is no error.
func (p *payload) Close() error {
	p.rest = nil
	if p.file == nil || p.stop == nil || !p.stop() {
		return nil
	}
	p.stop = nil
	return p.file.Close()
}
