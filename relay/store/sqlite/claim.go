package sqlite

import (
	"context"
	"errors"
	"time"

	"kubbi-mcp/relay/store"
)

// Claim counts a retrieval and gives the payload: see store.Store. The payload
// is read in the step that counts, since any later one might find it wiped.
func (s *Store) Claim(ctx context.Context, token store.Hash, key *store.ClaimKey, now time.Time) (*store.Claimed, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	if key != nil && key.Grace < time.Millisecond {
		key = nil
	}
	c := &claim{token: token, key: key, now: ms(now)}
	c.do = c.claim
	if err := s.writer.submit(ctx, &c.op); err != nil {
		return nil, err
	}
	return c.claimed()
}

// claim is a claim on its way to the writer.
type claim struct {
	op
	token  store.Hash
	key    *store.ClaimKey
	now    int64
	row    row // as the answer has it
	number int
	replay bool
	chunks []store.Chunk
}

func (c *claim) claim(t *tx) error {
	r := &c.row
	c.chunks = nil
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
			c.again(g)
			return c.read(t)
		}
	}
	if err := dead(r.status); err != nil {
		return err
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
	err := s.each(func() {
		c.chunks = append(c.chunks, store.Chunk{Part: int(s.int(0)), Index: int(s.int(1)), Sealed: s.bytes(2)})
	})
	if err != nil {
		return err
	}
	if len(c.chunks) == 0 {
		return errLost
	}
	return nil
}

func (c *claim) claimed() (*store.Claimed, error) {
	k, err := c.row.kubbi()
	if err != nil {
		return nil, err
	}
	if err := c.row.open(&k); err != nil {
		return nil, err
	}
	chunks := c.chunks
	return &store.Claimed{
		Kubbi:  k,
		Number: c.number,
		Burned: k.Status == store.Burned,
		Replay: c.replay,
		Payload: func(yield func(store.Chunk, error) bool) {
			for i := range chunks {
				chunk := chunks[i]
				chunks[i].Sealed = nil // a large payload is freed as it is read
				if !yield(chunk, nil) {
					return
				}
			}
		},
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
		err := r.byToken(t.byToken, token)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if !r.sealed {
			return nil
		}
		found, err := t.endGrace(&r, key)
		if err != nil || !found {
			return err
		}
		r.settle(at)
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
