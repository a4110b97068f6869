package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Clock gives the data base's own time. The store never uses it: relays, whose
// clocks should agree, are told apart by it.
func (s *Store) Clock(ctx context.Context) (now time.Time, err error) {
	if err := s.enter(ctx); err != nil {
		return now, err
	}
	defer s.leave()
	err = s.run(ctx, func(q *session) error {
		var b pgx.Batch
		b.Queue("SELECT clock_timestamp()").QueryRow(func(row pgx.Row) error { return row.Scan(&now) })
		return q.step(ctx, &b)
	})
	return now.UTC(), err
}
