package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Skew is by how much the data base's clock is ahead: see store.Store. It is taken
// to have been read in the middle of the round trip, so that it is wrong by half
// of that at most; the shorter one of two trips counts, since the first may
// prepare the statement.
func (s *Store) Skew(ctx context.Context) (ahead time.Duration, err error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.leave()
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
