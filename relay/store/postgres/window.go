package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"kubbi-mcp/relay/store"
)

// CountUses counts uses of a bucket: see store.Store. If the connection is lost and the call
// is retried, it may count twice the uses that it returns once.
func (s *Store) CountUses(ctx context.Context, bucket store.Hash, length time.Duration, n, limit int, now time.Time) (counted, sum int, err error) {
	w := store.NewWindow(bucket, length, store.MillisOf(now))
	err = s.run(ctx, func(q *session) error {
		var b pgx.Batch
		b.Queue(`INSERT INTO uses AS u (ends, length, bucket, n, taken)
			VALUES ($1, $2, $3, greatest(0, least($4::bigint, $5::bigint)), greatest(0, least($4::bigint, $5::bigint)))
			ON CONFLICT (ends, length, bucket) DO UPDATE
			SET taken = greatest(0, least($4::bigint, $5::bigint - u.n)), n = u.n + greatest(0, least($4::bigint, $5::bigint - u.n))
			RETURNING taken, n`, w.Ends, w.Length, w.Bucket[:], n, limit).
			QueryRow(func(res pgx.Row) error { return res.Scan(&counted, &sum) })
		return q.apply(ctx, &b)
	})
	if err != nil {
		return 0, 0, err
	}
	return counted, sum, nil
}
