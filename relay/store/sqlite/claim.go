package sqlite

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"time"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/payload"
)

// Claim counts a retrieval and gives the payload: see store.Store. The payload
// is read in the step that counts, since any later one might find it wiped.
func (s *Store) Claim(ctx context.Context, token store.Hash, key *store.ClaimKey, opens []string, now time.Time) (*store.Claimed, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	if key != nil && key.Grace < time.Millisecond {
		key = nil
	}
	c := &claim{token: token, key: key, opens: opens, now: ms(now)}
	c.payload.Dir = filepath.Dir(s.path)
	c.do = c.claim
	if err := s.writer.submit(ctx, &c.op); err != nil {
		c.payload.Close()
		return nil, err
	}
	out, err := c.claimed()
	if err != nil {
		c.payload.Close()
		return nil, err
	}
	c.payload.CloseAfter(ctx)
	return out, nil
}

// claim is a claim on its way to the writer.
type claim struct {
	op
	token   store.Hash
	key     *store.ClaimKey
	opens   []string // master keys; nil: all
	now     int64
	row     row // as the answer has it
	number  int
	replay  bool
	payload payload.Kept
}

func (c *claim) claim(t *tx) error {
	r := &c.row
	c.payload.Reset()
	if err := r.byToken(t.byToken, c.token); err != nil {
		return err
	}
	r.settle(c.now)
	if c.key != nil && r.sealed {
		g, err := t.grace(r, c.key.Key)
		if err != nil {
			return err
		}
		if g.until > c.now {
			if !c.canOpen() {
				return store.ErrMasterKey
			}
			c.again(g)
			return c.read(t)
		}
	}
	if err := r.status.Err(); err != nil {
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
	r.retrievals++
	r.last = c.now
	if r.first == never {
		r.first = c.now
	}
	if r.maxRetrievals > 0 && r.retrievals >= r.maxRetrievals {
		r.status = store.Burned
		r.ended = c.now
	}
	c.number = r.retrievals
	if err := t.notify(r, store.EventClaimed, c.now); err != nil {
		return err
	}
	if r.status == store.Burned {
		if err := t.end(r); err != nil {
			return err
		}
	}
	if c.key != nil {
		g := grace{until: until(c.now, c.key.Grace), number: c.number, at: c.now}
		if err := t.setGrace(r, c.key.Key, g, c.now); err != nil {
			return err
		}
	}
	after := *r // the answer keeps Files and Metadata
	if err := t.settleRow(&after, c.now); err != nil {
		return err
	}
	return t.rearm(&after, false)
}

// canOpen tells whether the caller has the master key.
func (c *claim) canOpen() bool {
	return c.opens == nil || slices.Contains(c.opens, c.row.masterKey)
}

// again makes the answer what that of the first claim was.
func (c *claim) again(g grace) {
	c.replay = true
	c.number = g.number
	r := &c.row
	r.retrievals = g.number
	r.last = g.at
	r.status, r.ended = store.Active, never
	if r.maxRetrievals > 0 && g.number >= r.maxRetrievals {
		r.status, r.ended = store.Burned, g.at
	}
}

func (c *claim) read(t *tx) error {
	s := t.chunks
	if err := s.args(0); err != nil {
		return err
	}
	s.bindInt(1, c.row.seq<<chunkBits)
	s.bindInt(2, (c.row.seq+1)<<chunkBits)
	var failed error
	err := s.each(func() {
		if failed == nil {
			failed = c.payload.Add(int(s.int(0)), int(s.int(1)), s.raw(2))
		}
	})
	switch {
	case err != nil:
		return err
	case failed != nil: // before the first write, so that the claim is as if it had not been
		return failed
	case c.payload.Len() == 0:
		return errLost
	}
	return nil
}

func (c *claim) claimed() (*store.Claimed, error) {
	k := c.row.bare()
	if k.Status == store.Active {
		k.Notify = c.row.notify
	}
	if err := c.row.open(&k); err != nil {
		return nil, err
	}
	return &store.Claimed{
		Kubbi:   k,
		Number:  c.number,
		Burned:  k.Status == store.Burned,
		Replay:  c.replay,
		Payload: c.payload.All,
	}, nil
}

// Release ends a claim's grace: see store.Store.
func (s *Store) Release(ctx context.Context, token, key store.Hash, now time.Time) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	at := ms(now)
	return s.writer.submit(ctx, &op{do: func(t *tx) error {
		var r row
		if err := r.byToken(t.byToken, token); err != nil {
			return err
		}
		if !r.sealed {
			return nil
		}
		found, err := t.endGrace(&r, key)
		if err != nil {
			return err
		}
		if !found {
			return t.otherGrace(&r, at)
		}
		if r.settle(at) {
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

// grace is what is kept of a claim made with a key.
type grace struct {
	until  int64
	number int
	at     int64
}

// grace is that of the key, with until never if there is none.
func (t *tx) grace(r *row, key store.Hash) (grace, error) {
	if r.hasGrace && r.graceKey == key {
		return grace{until: r.graceUntil, number: r.graceNumber, at: r.graceAt}, nil
	}
	none := grace{until: never}
	if !r.graceMore {
		return none, nil
	}
	s := t.graceGet
	if err := s.args(len(key)); err != nil {
		return none, err
	}
	s.bindInt(1, r.seq)
	s.bindBytes(2, key[:])
	ok, err := s.step()
	if err != nil || !ok {
		return none, err
	}
	defer s.reset()
	return grace{until: s.int(0), number: int(s.int(1)), at: s.int(2)}, nil
}

// otherGrace is store.ErrOtherKey if a grace is open, for a key that has none.
func (t *tx) otherGrace(r *row, now int64) error {
	if !r.sealed {
		return nil
	}
	last, err := t.lastGrace(r)
	if err == nil && last > now {
		err = store.ErrOtherKey
	}
	return err
}

// setGrace keeps a grace: in the row, which is written later, if there is room.
func (t *tx) setGrace(r *row, key store.Hash, g grace, now int64) error {
	if !r.hasGrace || r.graceKey == key || r.graceUntil <= now {
		r.hasGrace = true
		r.graceKey, r.graceUntil, r.graceNumber, r.graceAt = key, g.until, g.number, g.at
		return nil
	}
	r.graceMore = true
	s := t.gracePut
	if err := s.args(len(key)); err != nil {
		return err
	}
	s.bindInt(1, r.seq)
	s.bindBytes(2, key[:])
	s.bindInt(3, g.until)
	s.bindInt(4, int64(g.number))
	s.bindInt(5, g.at)
	return s.run()
}

// endGrace drops the grace of a key and tells whether there was one.
func (t *tx) endGrace(r *row, key store.Hash) (bool, error) {
	if r.hasGrace && r.graceKey == key {
		r.hasGrace = false
		return true, nil
	}
	g, err := t.grace(r, key)
	if err != nil || g.until == never {
		return false, err
	}
	s := t.graceDel
	if err := s.args(len(key)); err != nil {
		return false, err
	}
	s.bindInt(1, r.seq)
	s.bindBytes(2, key[:])
	return true, s.run()
}

// settleRow writes a changed row back: as a tombstone if it is terminal and no
// grace is open.
func (t *tx) settleRow(r *row, now int64) error {
	if r.status != store.Active {
		last, err := t.lastGrace(r)
		if err != nil {
			return err
		}
		if last <= now {
			return t.wipeRow(r)
		}
	}
	return t.saveRow(r)
}
