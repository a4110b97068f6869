package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"kubbi-mcp/relay/store"
)

// one reads the row of a kubbi.
func (s *Store) one(ctx context.Context, number store.Number) (r row, err error) {
	err = s.run(ctx, func(q *session) error {
		var found bool
		var b pgx.Batch
		r.find(&b, &found, nil, "SELECT "+columns+" FROM kubbis WHERE number = $1", int64(number))
		err := q.step(ctx, &b)
		if err == nil && !found {
			return store.ErrNotFound
		}
		return err
	})
	return r, err
}

// Inspect looks at an active kubbi: see store.Store.
func (s *Store) Inspect(ctx context.Context, token store.Token, now time.Time) (*store.Kubbi, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	r, err := s.one(ctx, token.Number)
	if err == nil && !r.has(token) {
		err = store.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	r.Settle(store.MillisOf(now))
	if err := r.Status.Err(); err != nil {
		return nil, err
	}
	k := r.kubbi()
	return &k, nil
}

// Get gives an owner's kubbi: see store.Store.
func (s *Store) Get(ctx context.Context, owner, id string, now time.Time) (*store.Kubbi, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	u, number, err := store.ParseID(id)
	if err != nil {
		return nil, store.ErrNotFound
	}
	r, err := s.one(ctx, number)
	if err != nil {
		return nil, err
	}
	if r.owner != owner || r.id != u {
		return nil, store.ErrNotFound
	}
	r.Settle(store.MillisOf(now))
	k := r.kubbi()
	return &k, nil
}

// MasterKeys names the master keys in use: see store.Store. It looks at every
// kubbi.
func (s *Store) MasterKeys(ctx context.Context) ([]string, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	var ids []string
	err := s.run(ctx, func(q *session) error {
		ids = nil
		var b pgx.Batch
		b.Queue("SELECT master_key FROM kubbis WHERE NOT done AND secret IS NOT NULL UNION SELECT master_key FROM notices").Query(func(rows pgx.Rows) error {
			for rows.Next() {
				var id string
				if err := rows.Scan(&id); err != nil {
					return err
				}
				ids = append(ids, id)
			}
			return rows.Err()
		})
		return q.step(ctx, &b)
	})
	if err != nil {
		return nil, err
	}
	return ids, nil
}

// statsCache keeps the last statistics for a while.
type statsCache struct {
	busy  chan struct{} // held while counting
	last  store.Stats
	until time.Time
}

// Stats counts what is in the store: see store.Store. It looks at every kubbi, so
// what it found is good for twenty times as long as that took, but at least a
// quarter of a second and at most half a minute.
func (s *Store) Stats(ctx context.Context) (*store.Stats, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	c := &s.stats
	select {
	case c.busy <- struct{}{}:
		defer func() { <-c.busy }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if start := time.Now(); !start.Before(c.until) {
		var now store.Stats
		err := s.run(ctx, func(q *session) error {
			var b pgx.Batch
			b.Queue(`SELECT count(*) FILTER (WHERE status = 0), count(*) FILTER (WHERE status = 1), count(*) FILTER (WHERE status = 2),
				count(*) FILTER (WHERE status = 3), coalesce(sum(size) FILTER (WHERE secret IS NOT NULL), 0)::bigint,
				(SELECT count(*) FROM notices) FROM kubbis`).QueryRow(func(res pgx.Row) error {
				return res.Scan(&now.Active, &now.Expired, &now.Burned, &now.Deleted, &now.Bytes, &now.Notices)
			})
			return q.step(ctx, &b)
		})
		if err != nil {
			return nil, err
		}
		end := time.Now()
		c.last, c.until = now, end.Add(min(max(time.Second/4, 20*end.Sub(start)), 30*time.Second))
	}
	last := c.last
	return &last, nil
}

// Due says when a sweep has work: see store.Store.
func (s *Store) Due(ctx context.Context) (time.Time, error) {
	if err := s.enter(ctx); err != nil {
		return time.Time{}, err
	}
	defer s.leave()
	due := store.Never
	err := s.run(ctx, func(q *session) error {
		due = store.Never
		var b pgx.Batch
		b.Queue("SELECT due FROM kubbis WHERE NOT done ORDER BY due LIMIT 1").Query(func(rows pgx.Rows) error {
			for rows.Next() {
				if err := rows.Scan(&due); err != nil {
					return err
				}
			}
			return rows.Err()
		})
		return q.step(ctx, &b)
	})
	return due.Time(), err
}

// Delete ends a kubbi: see store.Store.
func (s *Store) Delete(ctx context.Context, owner, id string, now time.Time) (*store.Kubbi, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	u, number, err := store.ParseID(id)
	if err != nil {
		return nil, store.ErrNotFound
	}
	var r row
	err = s.run(ctx, func(q *session) error { return r.delete(ctx, q, owner, u, number, store.MillisOf(now)) })
	if err != nil {
		return nil, err
	}
	k := r.bare()
	return &k, nil
}

func (r *row) delete(ctx context.Context, q *session, owner string, id [16]byte, number store.Number, now store.Millis) error {
	var found bool
	b := begin()
	r.find(b, &found, nil, lockByNumber, int64(number))
	if err := q.step(ctx, b); err != nil {
		return err
	}
	if !found || r.owner != owner || r.id != id {
		return store.ErrNotFound
	}
	if q.doubt && r.Status == store.Deleted && r.Ended == now {
		return nil // by an attempt before
	}
	r.Settle(now)
	if err := r.Status.Err(); err != nil {
		return err
	}
	r.Delete(now)
	b = &pgx.Batch{}
	if err := r.notice(b, store.EventDeleted, now); err != nil {
		return err
	}
	r.write(b, now, false)
	return q.commit(ctx, b)
}
