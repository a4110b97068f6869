package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kubbi-mcp/relay/store"
)

// notice queues a notice, as of at, if somebody is to be told of what happens
// to the row.
func (r *row) notice(b *pgx.Batch, event store.Event, at store.Millis) error {
	if r.notify == nil {
		return nil
	}
	k := r.bare()
	k.Notify = r.notify
	body, err := json.Marshal(k)
	if err != nil {
		return err
	}
	b.Queue("INSERT INTO notices (id, due, at, event, attempts, master_key, kubbi) VALUES ($1, $2, $2, $3, 0, $4, $5)",
		[16]byte(uuid.New()), when(at), event, r.masterKey, body)
	return nil
}

// Notices hands out notices: see store.Store. A repeat after a lost connection
// may leave some leased to nobody, for one lease.
func (s *Store) Notices(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]store.Notice, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	var found []store.Notice
	err := s.run(ctx, func(q *session) error {
		found = nil
		var b pgx.Batch
		b.Queue(`WITH d AS (SELECT id FROM notices WHERE due <= $1 ORDER BY due, at LIMIT $3 FOR UPDATE SKIP LOCKED)
			UPDATE notices SET due = $2, attempts = attempts + 1 FROM d WHERE notices.id = d.id
			RETURNING notices.id, at, event, attempts, kubbi`, at(now), at(now.Add(lease)), max(0, limit)).Query(func(rows pgx.Rows) error {
			for rows.Next() {
				var n store.Notice
				var id [16]byte
				var when store.Millis
				var body []byte
				if err := rows.Scan(&id, to(&when), &n.Event, &n.Attempts, &body); err != nil {
					return err
				}
				n.ID, n.At = uuid.UUID(id).String(), when.Time()
				if err := json.Unmarshal(body, &n.Kubbi); err != nil {
					return final{fmt.Errorf("notice %s: %w", n.ID, err)}
				}
				found = append(found, n)
			}
			return rows.Err()
		})
		return q.apply(ctx, &b)
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(found, func(a, b store.Notice) int { return a.At.Compare(b.At) })
	return found, nil
}

// NoticeLater puts a notice off: see store.Store.
func (s *Store) NoticeLater(ctx context.Context, id string, due time.Time) error {
	return s.onNotice(ctx, id, "UPDATE notices SET due = $2 WHERE id = $1", at(due))
}

// NoticeDone removes a notice: see store.Store.
func (s *Store) NoticeDone(ctx context.Context, id string) error {
	return s.onNotice(ctx, id, "DELETE FROM notices WHERE id = $1")
}

func (s *Store) onNotice(ctx context.Context, id, sql string, args ...any) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	u, err := uuid.Parse(id)
	if err != nil {
		return nil
	}
	return s.run(ctx, func(q *session) error {
		var b pgx.Batch
		b.Queue(sql, append([]any{[16]byte(u)}, args...)...)
		return q.apply(ctx, &b)
	})
}
