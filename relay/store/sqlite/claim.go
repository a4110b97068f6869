package sqlite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"kubbi-mcp/relay/spool"
	"kubbi-mcp/relay/store"
)

// maxClaimed is how much of a payload a claim holds in memory. The rest goes to a
// spool, encrypted once more, so that nothing is left of what the claim has
// wiped.
const maxClaimed = 4 << 20

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
	c := &claim{token: token, key: key, opens: opens, now: ms(now), dir: filepath.Dir(s.path)}
	c.do = c.claim
	if err := s.writer.submit(ctx, &c.op); err != nil {
		c.giveUp()
		return nil, err
	}
	out, err := c.claimed()
	if err != nil {
		c.giveUp()
		return nil, err
	}
	if c.spool != nil {
		context.AfterFunc(ctx, c.giveUp)
	}
	return out, nil
}

// claim is a claim on its way to the writer.
type claim struct {
	op
	token  store.Hash
	key    *store.ClaimKey
	opens  []string // master keys; nil: all
	now    int64
	row    row // as the answer has it
	number int
	replay bool
	chunks []store.Chunk // the last ones, of a large payload, without their bytes, which spool has
	held   int           // bytes in chunks
	sizes  []int         // of the chunks in spool

	dir     string // of spool
	mu      sync.Mutex
	spool   *spool.Spool // nil: none is needed
	givenUp bool         // nobody waits for the payload any more
}

// giveUp frees what is kept of the payload.
func (c *claim) giveUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.givenUp = true
	if c.spool != nil {
		_ = c.spool.Close() // a file without a name
	}
}

// keep adds to the spool.
func (c *claim) keep(b []byte) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.givenUp {
		return context.Canceled
	}
	if c.spool == nil {
		if c.spool, err = spool.New(c.dir); err != nil {
			return err
		}
	}
	_, err = c.spool.Write(b)
	return err
}

// empty drops what an earlier run of the op has kept.
func (c *claim) empty() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.spool != nil {
		_ = c.spool.Close()
	}
	c.spool, c.chunks, c.sizes, c.held = nil, nil, nil, 0
}

func (c *claim) claim(t *tx) error {
	r := &c.row
	c.empty()
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
	if err := dead(r.status); err != nil {
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
		b := s.raw(2)
		if held := c.held + len(b); held <= maxClaimed && c.sizes == nil {
			c.held = held
			c.chunks = append(c.chunks, store.Chunk{Part: int(s.int(0)), Index: int(s.int(1)), Sealed: s.bytes(2)})
			return
		}
		c.chunks = append(c.chunks, store.Chunk{Part: int(s.int(0)), Index: int(s.int(1))})
		c.sizes = append(c.sizes, len(b))
		if failed == nil {
			failed = c.keep(b)
		}
	})
	if err != nil {
		return err
	}
	if failed != nil {
		// Nothing has been written yet, so that the claim is as if it had not been.
		return fmt.Errorf("%w: %w", store.ErrUnavailable, failed)
	}
	if len(c.chunks) == 0 {
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
		Payload: c.payload,
	}, nil
}

// payload is the store.Chunks of a claim.
func (c *claim) payload(yield func(store.Chunk, error) bool) {
	defer c.giveUp()
	var buf []byte
	var at int64
	inMemory := len(c.chunks) - len(c.sizes)
	for i, chunk := range c.chunks {
		c.chunks[i].Sealed = nil // a large payload is freed as it is read
		if i >= inMemory {
			size := c.sizes[i-inMemory]
			buf = slices.Grow(buf[:0], size)[:size]
			if _, err := c.spool.ReadAt(buf, at); err != nil {
				yield(store.Chunk{}, fmt.Errorf("%w: %w", store.ErrUnavailable, err))
				return
			}
			chunk.Sealed = buf
			at += int64(size)
		}
		if !yield(chunk, nil) {
			return
		}
	}
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
