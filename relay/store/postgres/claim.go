package postgres

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"kubbi-mcp/relay/store"
)

const (
	lockForClaim = "SELECT " + columns + ", payload FROM kubbis WHERE number = $1 FOR UPDATE"
	lockByNumber = "SELECT " + columns + " FROM kubbis WHERE number = $1 FOR UPDATE"
)

// Claim counts a retrieval and gives the payload: see store.Store. If it is not
// one that a single statement does (see once), it is one transaction of two round
// trips, which locks the row in the first and commits in the second; a large
// payload comes between.
func (s *Store) Claim(ctx context.Context, token store.Token, key *store.ClaimKey, opens []string, now time.Time) (*store.Claimed, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	if key != nil && key.Grace < time.Millisecond {
		key = nil
	}
	c := &claim{token: token, key: key, opens: opens, now: store.MillisOf(now), payload: &kept{dir: s.spool}}
	if err := s.claim(ctx, c); err != nil {
		_ = c.payload.Close()
		return nil, err
	}
	c.payload.until(ctx)
	return c.claimed(), nil
}

type claim struct {
	token store.Token
	key   *store.ClaimKey
	opens []string // master keys; nil: all
	now   store.Millis

	row    row // as the answer has it
	number int
	replay bool

	payload *kept
}

func (c *claim) keyBytes() []byte {
	if c.key == nil {
		return nil
	}
	return c.key.Key[:]
}

func (c *claim) claim(ctx context.Context, q *session) error {
	c.payload.reset() // of an attempt before
	c.replay = false
	r := &c.row
	var found bool
	var inRow []byte
	b := begin()
	r.find(b, &found, []any{&inRow}, lockForClaim, int64(c.token.Number))
	if err := q.step(ctx, b); err != nil {
		return err
	}
	if !found || !r.has(c.token) {
		return store.ErrNotFound
	}
	if err := q.loadGraces(ctx, r, c.keyBytes()); err != nil {
		return err
	}
	r.Settle(c.now)
	if c.key != nil && r.Sealed {
		if g := r.graceOf(c.key.Key[:]); g.Until > c.now {
			if !c.canOpen() {
				return store.ErrMasterKey
			}
			c.replay, c.number = true, g.Number
			r.At(g)
			return c.fetch(ctx, q, inRow)
		}
	}
	if err := r.Status.Err(); err != nil {
		if c.key != nil && r.Sealed && r.lastGrace() > c.now {
			return errors.Join(err, store.ErrOtherKey)
		}
		return err
	}
	if !c.canOpen() {
		return store.ErrMasterKey
	}
	if err := c.fetch(ctx, q, inRow); err != nil {
		return err
	}
	return c.count(ctx, q)
}

// canOpen tells whether the caller has the master key.
func (c *claim) canOpen() bool { return c.opens == nil || slices.Contains(c.opens, c.row.masterKey) }

// count counts the claim and commits.
func (c *claim) count(ctx context.Context, q *session) error {
	r := &c.row
	r.Count(c.now)
	c.number = r.Retrievals
	after := *r // the answer keeps Secret and Record
	var b pgx.Batch
	if err := after.notice(&b, store.EventClaimed, c.now); err != nil {
		return err
	}
	if after.Status == store.Burned {
		if err := after.notice(&b, store.EventBurned, c.now); err != nil {
			return err
		}
	}
	if c.key != nil {
		after.setGrace(&b, c.key.Key[:], c.grace(), c.now)
	}
	after.write(&b, c.now, false)
	err := q.commit(ctx, &b)
	if err != nil && q.unknown && c.key == nil {
		return final{err} // a repeat could not find out whether it was counted
	}
	return err
}

// grace is what is kept of the claim, once it is counted.
func (c *claim) grace() store.Grace {
	return store.Grace{Until: c.now.After(c.key.Grace), Number: c.number, At: c.now}
}

// pagePieces is how many pieces are asked for at once: each answer has a time
// limit.
const pagePieces = 16

// fetch keeps the payload: what stood in the row, or the pieces, which it reads.
func (c *claim) fetch(ctx context.Context, q *session, inRow []byte) error {
	r := &c.row
	if r.pieces == 0 {
		if inRow == nil {
			return errLost
		}
		return c.payload.add(inRow)
	}
	for from := 0; from < r.pieces; from += pagePieces {
		var b pgx.Batch
		b.Queue("SELECT sealed FROM chunks WHERE kubbi = $1 AND ordinal >= $2 AND ordinal < $3 ORDER BY ordinal",
			int64(r.number), from, from+pagePieces).Query(func(rows pgx.Rows) error {
			var failed error
			for rows.Next() {
				// A spool that fails must not keep the rest of the answer in the connection.
				if failed == nil {
					failed = c.payload.add(rows.RawValues()[0])
				}
			}
			if err := rows.Err(); err != nil {
				return err
			}
			return failed
		})
		if err := q.step(ctx, &b); err != nil {
			return err
		}
	}
	if c.payload.n != r.pieces {
		return errLost
	}
	return nil
}

func (c *claim) claimed() *store.Claimed {
	k := c.row.kubbi()
	c.row.open(&k)
	return &store.Claimed{Kubbi: k, Number: c.number, Burned: k.Status == store.Burned, Replay: c.replay, Payload: c.payload}
}

// Release ends a claim's grace: see store.Store.
func (s *Store) Release(ctx context.Context, token store.Token, key store.Hash, now time.Time) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	return s.release(ctx, token, key, store.MillisOf(now))
}

func release(ctx context.Context, q *session, token store.Token, key store.Hash, now store.Millis) error {
	var r row
	var found bool
	b := begin()
	r.find(b, &found, nil, lockByNumber, int64(token.Number))
	if err := q.step(ctx, b); err != nil {
		return err
	}
	if !found || !r.has(token) {
		return store.ErrNotFound
	}
	if !r.Sealed {
		return nil
	}
	if err := q.loadGraces(ctx, &r, key[:]); err != nil {
		return err
	}
	b = &pgx.Batch{}
	if !r.endGrace(b, key[:]) {
		if r.lastGrace() > now {
			return store.ErrOtherKey
		}
		return nil
	}
	if r.Settle(now) {
		if err := r.notice(b, store.EventExpired, r.Ended); err != nil {
			return err
		}
	}
	r.write(b, now, false)
	return q.commit(ctx, b)
}
