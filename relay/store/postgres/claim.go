package postgres

import (
	"context"
	"io"
	"time"

	"github.com/jackc/pgx/v5"

	"kubbi-mcp/internal/spool"
	"kubbi-mcp/relay/store"
)

const (
	lockForClaim = "SELECT " + columns + ", payload FROM kubbis WHERE number = $1 FOR UPDATE"
	lockByNumber = "SELECT " + columns + " FROM kubbis WHERE number = $1 FOR UPDATE"
)

// Claim counts a retrieval and gives the payload: see store.Store. Unless a single statement is
// enough (see queueOnce), it is one transaction: the first round trip locks the row, the
// last commits, and a large payload is read between them.
func (s *Store) Claim(ctx context.Context, token store.Token, key *store.ClaimKey, opens []string, now time.Time) (*store.Claimed, error) {
	if err := s.calls.Enter(ctx); err != nil {
		return nil, err
	}
	defer s.calls.Leave()
	c := &claim{ClaimRequest: store.NewClaimRequest(token, key, opens, now), tempDir: s.tempDir}
	err := s.runInGroup(ctx, &job{number: token.Number, queue: c.queueOnce, once: c.Key == nil},
		func(q *session) error { return c.claim(ctx, q) })
	if err != nil {
		c.free()
		return nil, err
	}
	var file io.ReadCloser
	if c.large != nil {
		file = newSpoolReader(c.large)
	}
	return c.row.Claimed(c.replay, store.NewPayload(ctx, c.inRow, file)), nil
}

type claim struct {
	store.ClaimRequest
	tempDir string
	row     row // for the answer
	replay  bool
	inRow   []byte       // the payload
	large   *spool.Spool // or, if it is not in the row
}

// free releases the payload.
func (c *claim) free() {
	if c.large != nil {
		_ = c.large.Close() // it has no name
	}
	c.inRow, c.large = nil, nil
}

func (c *claim) claim(ctx context.Context, q *session) error {
	c.free() // from an earlier attempt
	r := &c.row
	var found bool
	b := begin()
	r.find(b, &found, []any{&c.inRow}, lockForClaim, int64(c.Token.Number))
	if err := q.step(ctx, b); err != nil {
		return err
	}
	if !found || !r.Is(c.Token) {
		return store.ErrNotFound
	}
	if err := q.loadGraces(ctx, r, c.KeyHash()); err != nil {
		return err
	}
	var err error
	if c.replay, err = r.Claim(&c.ClaimRequest); err != nil {
		return err
	}
	if err := c.fetch(ctx, q); err != nil || c.replay {
		return err
	}
	after := *r // the answer keeps Secret and Record
	// The claim counts once this is committed.
	if err = after.commit(ctx, q, c.Now); err != nil && q.unknown && c.Key == nil {
		return final{err} // a retry could not find out whether it was counted
	}
	return err
}

// chunksAtOnce is how many chunks one query reads, since each answer has a time limit.
const chunksAtOnce = 16

// fetch reads a large payload completely, since it may be wiped after the claim has counted.
// The caller of Claim does not read directly from the data base: a slow caller would occupy a
// connection, and prevent vacuum from removing wiped rows.
func (c *claim) fetch(ctx context.Context, q *session) (err error) {
	r := &c.row
	if r.pieces == 0 {
		if c.inRow == nil {
			return errLost
		}
		return nil
	}
	if c.large, err = spool.New(c.tempDir); err != nil {
		return unavailable(err)
	}
	read := 0
	for from := 0; from < r.pieces; from += chunksAtOnce {
		var b pgx.Batch
		b.Queue("SELECT sealed FROM chunks WHERE kubbi = $1 AND ordinal >= $2 AND ordinal < $3 ORDER BY ordinal",
			int64(r.Number), from, from+chunksAtOnce).Query(func(rows pgx.Rows) error {
			var failed error
			for rows.Next() {
				// After an error the rest of the answer must still be read.
				if failed == nil {
					_, failed = c.large.Write(rows.RawValues()[0])
				}
				read++
			}
			if err := rows.Err(); err != nil {
				return err
			}
			return unavailable(failed)
		})
		if err := q.step(ctx, &b); err != nil {
			return err
		}
	}
	if read != r.pieces {
		return errLost
	}
	return nil
}

// Release ends a claim's grace: see store.Store.
func (s *Store) Release(ctx context.Context, token store.Token, key store.Hash, now time.Time) error {
	if err := s.calls.Enter(ctx); err != nil {
		return err
	}
	defer s.calls.Leave()
	once := func(b *pgx.Batch, whole *bool) {
		b.Queue(releaseOnce, int64(token.Number), token.Hash[:], key[:], store.Burned).Exec(changes(whole))
	}
	return s.runInGroup(ctx, &job{number: token.Number, queue: once},
		func(q *session) error { return release(ctx, q, token, key, store.MillisOf(now)) })
}

func release(ctx context.Context, q *session, token store.Token, key store.Hash, now store.Millis) error {
	var r row
	var found bool
	b := begin()
	r.find(b, &found, nil, lockByNumber, int64(token.Number))
	if err := q.step(ctx, b); err != nil {
		return err
	}
	if !found || !r.Is(token) {
		return store.ErrNotFound
	}
	if err := q.loadGraces(ctx, &r, key); err != nil {
		return err
	}
	if changed, err := r.Release(key, now); err != nil || !changed {
		return err
	}
	return r.commit(ctx, q, now)
}

// commit writes a changed row and commits.
func (r *row) commit(ctx context.Context, q *session, now store.Millis) error {
	var b pgx.Batch
	if _, err := r.write(&b, now, false); err != nil {
		return err
	}
	return q.commit(ctx, &b)
}

// Delete ends a kubbi: see store.Store.
func (s *Store) Delete(ctx context.Context, owner, id string, now time.Time) (*store.Kubbi, error) {
	u, number, _ := store.ParseID(id) // 0, of a wrong id, is no kubbi's number
	ended := store.MillisOf(now)
	var r row
	err := s.run(ctx, func(q *session) error {
		var found bool
		b := begin()
		r.find(b, &found, nil, lockByNumber, int64(number))
		if err := q.step(ctx, b); err != nil {
			return err
		}
		if !found || r.Owner != owner || r.ID != u {
			return store.ErrNotFound
		}
		if q.doubt && r.Status == store.Deleted && r.Ended == ended {
			return nil // by an earlier attempt
		}
		if err := r.Delete(ended); err != nil {
			return err
		}
		return r.commit(ctx, q, ended)
	})
	if err != nil {
		return nil, err
	}
	return new(r.Kubbi()), nil
}
