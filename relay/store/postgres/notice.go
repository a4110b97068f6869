package postgres

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kubbi-mcp/relay/store"
)

// Notices leases notices: see store.Store. If the connection is lost and the call is retried,
// some notices may stay leased, without a caller, until their lease ends.
func (s *Store) Notices(ctx context.Context, now time.Time, lease time.Duration, limit int) (found []store.Notice, err error) {
	err = s.run(ctx, func(q *session) error {
		found = nil
		var b pgx.Batch
		b.Queue(`WITH d AS (SELECT id FROM notices WHERE due <= $1 ORDER BY due, at LIMIT $3 FOR UPDATE SKIP LOCKED)
			UPDATE notices SET due = $2, attempts = attempts + 1 FROM d WHERE notices.id = d.id
			RETURNING notices.id, at, event, attempts, kubbi`, at(now), at(now.Add(lease)), max(0, limit)).Query(func(rows pgx.Rows) error {
			return eachRow(rows, func(rows pgx.Rows) error {
				var n store.Notice
				var id [16]byte
				var at store.Millis
				var kubbi []byte
				if err := rows.Scan(&id, to(&at), &n.Event, &n.Attempts, &kubbi); err != nil {
					return err
				}
				n.ID, n.At = uuid.UUID(id).String(), at.Time()
				if json.Unmarshal(kubbi, &n.Kubbi) == nil { // a damaged notice must not block the others
					found = append(found, n)
				}
				return nil
			})
		})
		return q.apply(ctx, &b)
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(found, func(a, b store.Notice) int { return a.At.Compare(b.At) })
	return found, nil
}

// NoticeLater postpones a notice: see store.Store.
func (s *Store) NoticeLater(ctx context.Context, id string, due time.Time) error {
	return s.onNotice(ctx, id, "UPDATE notices SET due = $2 WHERE id = $1", at(due))
}

// NoticeDone removes a notice: see store.Store.
func (s *Store) NoticeDone(ctx context.Context, id string) error {
	return s.onNotice(ctx, id, "DELETE FROM notices WHERE id = $1")
}

func (s *Store) onNotice(ctx context.Context, id, sql string, args ...any) error {
	return s.run(ctx, func(q *session) error {
		u, err := uuid.Parse(id)
		if err != nil {
			return nil
		}
		var b pgx.Batch
		b.Queue(sql, append([]any{[16]byte(u)}, args...)...)
		return q.apply(ctx, &b)
	})
}
