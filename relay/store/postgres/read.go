package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"kubbi-mcp/relay/store"
)

// one reads the row of a kubbi.
func (s *Store) one(ctx context.Context, number store.Number, now time.Time) (r row, err error) {
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
	r.Expire(store.MillisOf(now))
	return r, err
}

// Inspect looks at an active kubbi: see store.Store.
func (s *Store) Inspect(ctx context.Context, token store.Token, now time.Time) (*store.Kubbi, error) {
	r, err := s.one(ctx, token.Number, now)
	if err == nil && !r.Is(token) {
		err = store.ErrNotFound
	}
	if err == nil {
		err = r.Status.Err()
	}
	if err != nil {
		return nil, err
	}
	return new(r.Kubbi()), nil
}

// Get gives an owner's kubbi: see store.Store.
func (s *Store) Get(ctx context.Context, owner, id string, now time.Time) (*store.Kubbi, error) {
	u, number, _ := store.ParseID(id) // 0, of a wrong id, is no kubbi's number
	r, err := s.one(ctx, number, now)
	if err == nil && (r.Owner != owner || r.ID != u) {
		err = store.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return new(r.Kubbi()), nil
}

// query runs a query in a round trip of its own. It calls start before each attempt, and each
// for every row.
func (s *Store) query(ctx context.Context, start func(), each func(pgx.Rows) error, sql string, args ...any) error {
	return s.run(ctx, func(q *session) error {
		start()
		var b pgx.Batch
		b.Queue(sql, args...).Query(func(rows pgx.Rows) error { return eachRow(rows, each) })
		return q.step(ctx, &b)
	})
}

func eachRow(rows pgx.Rows, do func(pgx.Rows) error) error {
	for rows.Next() {
		if err := do(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// MasterKeys returns the ids of the master keys in use: see store.Store. It reads every
// kubbi.
func (s *Store) MasterKeys(ctx context.Context) (ids []string, err error) {
	err = s.query(ctx, func() { ids = nil }, func(rows pgx.Rows) error {
		var id string
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	}, "SELECT master_key FROM kubbis WHERE NOT done AND secret IS NOT NULL UNION SELECT master_key FROM notices")
	if err != nil {
		return nil, err
	}
	return ids, nil
}

// statsCache caches the statistics.
type statsCache struct {
	busy  chan struct{} // held while counting
	last  store.Stats
	until time.Time
}

// Stats counts what is in the store: see store.Store. Since it reads every kubbi, it caches
// the result for twenty times as long as that took, but at least for a quarter of a second
// and at most for half a minute.
func (s *Store) Stats(ctx context.Context) (*store.Stats, error) {
	if err := s.calls.Enter(ctx); err != nil { // also if the cached result is used
		return nil, err
	}
	s.calls.Leave()
	c := &s.stats
	select {
	case c.busy <- struct{}{}:
		defer func() { <-c.busy }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if start := time.Now(); !start.Before(c.until) {
		var now store.Stats
		err := s.query(ctx, func() {}, func(rows pgx.Rows) error {
			return rows.Scan(&now.Active, &now.Expired, &now.Burned, &now.Deleted, &now.Bytes, &now.Notices)
		}, `SELECT count(*) FILTER (WHERE status = 0), count(*) FILTER (WHERE status = 1), count(*) FILTER (WHERE status = 2),
			count(*) FILTER (WHERE status = 3), coalesce(sum(size) FILTER (WHERE secret IS NOT NULL), 0)::bigint,
			(SELECT count(*) FROM notices) FROM kubbis`)
		if err != nil {
			return nil, err
		}
		end := time.Now()
		c.last, c.until = now, end.Add(min(max(time.Second/4, 20*end.Sub(start)), 30*time.Second))
	}
	return new(c.last), nil
}

// Due returns when a sweep has work next: see store.Store.
func (s *Store) Due(ctx context.Context) (time.Time, error) {
	due := store.Never
	err := s.query(ctx, func() { due = store.Never }, func(rows pgx.Rows) error { return rows.Scan(&due) },
		"SELECT due FROM kubbis WHERE NOT done ORDER BY due LIMIT 1")
	return due.Time(), err
}

// Skew returns by how much the data base's clock is ahead: see store.Store. It assumes that
// the server read its clock in the middle of the round trip, so the error is at most half a
// round trip. It uses the shorter of two round trips, since the first may also prepare the
// statement.
func (s *Store) Skew(ctx context.Context) (ahead time.Duration, err error) {
	err = s.run(ctx, func(q *session) error {
		var shortest time.Duration
		for i := range 2 {
			var there time.Time
			var b pgx.Batch
			b.Queue("SELECT clock_timestamp()").QueryRow(func(row pgx.Row) error { return row.Scan(&there) })
			start := time.Now()
			if err := q.step(ctx, &b); err != nil {
				return err
			}
			if trip := time.Since(start); i == 0 || trip < shortest {
				shortest, ahead = trip, there.Sub(start.Add(trip/2))
			}
		}
		return nil
	})
	return ahead, err
}

// Ping reads the store: see store.Store. It retries only for a short time, since it must
// report the current state.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.calls.Enter(ctx); err != nil {
		return err
	}
	defer s.calls.Leave()
	return s.retry(ctx, pingPatience, false, func(q *session) error {
		var b pgx.Batch
		b.Queue("SELECT 1 FROM kubbis LIMIT 1")
		return q.step(ctx, &b)
	})
}
