package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"kubbi-mcp/relay/store"
)

// window is a key of the table uses.
type window struct {
	ends, length int64
	bucket       store.Hash
}

var errWindow = errors.New("window of less than a millisecond")

func windowOf(bucket store.Hash, length time.Duration, now store.Millis) window {
	n, l := int64(now), length.Milliseconds()
	start := n - n%l
	if start > n { // before 1970
		start -= l
	}
	return window{ends: start + l, length: l, bucket: bucket}
}

// day is the window in which the owner's creations are counted.
func (c *creation) day() window {
	// No bucket of a caller's is like it: theirs are hashes of other things.
	return windowOf(sha256.Sum256([]byte("kubbis of a day, created by "+c.k.Owner)), 24*time.Hour, c.now)
}

// Take counts uses in a window: see store.Store. A repeat after a lost
// connection may count twice what it answers once.
func (s *Store) Take(ctx context.Context, bucket store.Hash, length time.Duration, n, limit int, now time.Time) (taken, sum int, err error) {
	if err := s.enter(ctx); err != nil {
		return 0, 0, err
	}
	defer s.leave()
	if length < time.Millisecond {
		return 0, 0, errWindow
	}
	w := windowOf(bucket, length, store.MillisOf(now))
	err = s.run(ctx, func(q *session) error {
		var b pgx.Batch
		b.Queue(`INSERT INTO uses AS u (ends, length, bucket, n, taken)
			VALUES ($1, $2, $3, greatest(0, least($4::bigint, $5::bigint)), greatest(0, least($4::bigint, $5::bigint)))
			ON CONFLICT (ends, length, bucket) DO UPDATE
			SET taken = greatest(0, least($4::bigint, $5::bigint - u.n)), n = u.n + greatest(0, least($4::bigint, $5::bigint - u.n))
			RETURNING taken, n`, w.ends, w.length, w.bucket[:], n, limit).
			QueryRow(func(res pgx.Row) error { return res.Scan(&taken, &sum) })
		return q.apply(ctx, &b)
	})
	if err != nil {
		return 0, 0, err
	}
	return taken, sum, nil
}
