package postgres

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/payload"
)

// firstPieces is how many chunks come along with the row.
const firstPieces = 4

const lockByToken = "SELECT " + columns + " FROM kubbi WHERE token = $1 FOR UPDATE"

// Claim counts a retrieval and gives the payload: see store.Store. It is one
// transaction of two round trips, which locks the row in the first and
// commits in the second.
func (s *Store) Claim(ctx context.Context, token store.Hash, key *store.ClaimKey, opens []string, now time.Time) (*store.Claimed, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	if key != nil && key.Grace < time.Millisecond {
		key = nil
	}
	c := &claim{token: token, key: key, opens: opens, now: ms(now)}
	c.payload.Dir = s.spool
	if err := s.run(ctx, func(q *session) error { return c.claim(ctx, q) }); err != nil {
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

type claim struct {
	token store.Hash
	key   *store.ClaimKey
	opens []string // master keys; nil: all
	now   when

	row    row // as the answer has it
	number int
	replay bool

	payload payload.Kept
}

func (c *claim) keyBytes() []byte {
	if c.key == nil {
		return nil
	}
	return c.key.Key[:]
}

func (c *claim) claim(ctx context.Context, q *session) error {
	c.payload.Reset() // of an attempt before
	c.replay = false
	r := &c.row
	var found bool
	b := begin()
	r.find(b, &found, lockByToken, c.token[:])
	c.read(b, "SELECT part, idx, sealed FROM chunk WHERE kubbi = (SELECT id FROM kubbi WHERE token = $1) AND ordinal < $2 ORDER BY ordinal",
		c.token[:], firstPieces)
	if err := q.step(ctx, b); err != nil {
		return err
	}
	if !found {
		return store.ErrNotFound
	}
	if err := q.loadGraces(ctx, r, c.keyBytes()); err != nil {
		return err
	}
	r.settle(c.now)
	if c.key != nil && r.sealed {
		if g := r.graceOf(c.key.Key[:]); g.until > c.now {
			if !c.canOpen() {
				return store.ErrMasterKey
			}
			c.again(g)
			return c.rest(ctx, q)
		}
	}
	if err := r.status.Err(); err != nil {
		if c.key != nil && r.sealed && r.lastGrace() > c.now {
			return errors.Join(err, store.ErrOtherKey)
		}
		return err
	}
	if !c.canOpen() {
		return store.ErrMasterKey
	}
	if err := c.rest(ctx, q); err != nil {
		return err
	}
	return c.count(ctx, q)
}

// canOpen tells whether the caller has the master key.
func (c *claim) canOpen() bool { return c.opens == nil || slices.Contains(c.opens, c.row.masterKey) }

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

// count counts the claim and commits.
func (c *claim) count(ctx context.Context, q *session) error {
	r := &c.row
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
	after := *r // the answer keeps Files and Metadata
	var b pgx.Batch
	if err := after.notice(&b, store.EventClaimed, c.now); err != nil {
		return err
	}
	if after.status == store.Burned {
		if err := after.notice(&b, store.EventBurned, c.now); err != nil {
			return err
		}
	}
	if c.key != nil {
		until := c.now + when(c.key.Grace.Milliseconds())
		after.setGrace(&b, c.key.Key[:], grace{until: until, number: c.number, at: c.now}, c.now)
	}
	after.write(&b, c.now, false)
	err := q.commit(ctx, &b)
	if err != nil && q.unknown && c.key == nil {
		return final{err}
	}
	return err
}

// read queues a query for chunks, which are kept as they come.
func (c *claim) read(b *pgx.Batch, sql string, args ...any) {
	b.Queue(sql, args...).Query(func(rows pgx.Rows) error {
		var failed error
		for rows.Next() {
			raw := rows.RawValues()
			var part, index int
			if err := rows.Scan(&part, &index, nil); err != nil {
				return err
			}
			// A spool that fails must not keep the rest of the answer in the connection.
			if failed == nil {
				failed = c.payload.Add(part, index, raw[2])
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		return failed
	})
}

// rest reads the chunks that have not come along with the row.
func (c *claim) rest(ctx context.Context, q *session) error {
	for from := firstPieces; from < c.row.pieces; from += pagePieces {
		var b pgx.Batch
		c.read(&b, "SELECT part, idx, sealed FROM chunk WHERE kubbi = $1 AND ordinal >= $2 AND ordinal < $3 ORDER BY ordinal",
			c.row.id, from, from+pagePieces)
		if err := q.step(ctx, &b); err != nil {
			return err
		}
	}
	if c.payload.Len() != c.row.pieces {
		return errLost
	}
	return nil
}

// pagePieces is how many chunks are asked for at once: each answer has a time
// limit.
const pagePieces = 64

func (c *claim) claimed() (*store.Claimed, error) {
	k := c.row.bare()
	if k.Status == store.Active {
		k.Notify = c.row.notify
	}
	if err := c.row.open(&k); err != nil {
		return nil, err
	}
	return &store.Claimed{Kubbi: k, Number: c.number, Burned: k.Status == store.Burned, Replay: c.replay, Payload: c.payload.All}, nil
}

// Release ends a claim's grace: see store.Store.
func (s *Store) Release(ctx context.Context, token, key store.Hash, now time.Time) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	return s.run(ctx, func(q *session) error {
		var r row
		var found bool
		b := begin()
		r.find(b, &found, lockByToken, token[:])
		if err := q.step(ctx, b); err != nil {
			return err
		}
		if !found {
			return store.ErrNotFound
		}
		if !r.sealed {
			return nil
		}
		if err := q.loadGraces(ctx, &r, key[:]); err != nil {
			return err
		}
		b = &pgx.Batch{}
		if !r.endGrace(b, key[:]) {
			if r.lastGrace() > ms(now) {
				return store.ErrOtherKey
			}
			return nil
		}
		if r.settle(ms(now)) {
			if err := r.notice(b, store.EventExpired, r.ended); err != nil {
				return err
			}
		}
		r.write(b, ms(now), false)
		return q.commit(ctx, b)
	})
}
