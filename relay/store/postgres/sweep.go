package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"kubbi-mcp/relay/store"
)

// Sweep does the work that is due: see store.Store. It skips rows that another sweep or call
// has locked.
func (s *Store) Sweep(ctx context.Context, now time.Time, retention time.Duration, limit int) (store.Swept, error) {
	w := &sweep{store.NewSweepWork(now, retention, limit)}
	if err := s.run(ctx, func(q *session) error { return w.sweep(ctx, q) }); err != nil {
		return store.Swept{}, err
	}
	return w.Result(), nil
}

type sweep struct{ store.SweepWork }

func (w *sweep) sweep(ctx context.Context, q *session) error {
	w.Start()
	if err := w.visit(ctx, q); err != nil {
		return err
	}
	// These come last and wait for no locks, so that they cause no deadlock.
	for _, remove := range []struct {
		sql    string
		before store.Millis
		count  func(int)
	}{
		{`DELETE FROM kubbis WHERE number IN
			(SELECT number FROM kubbis WHERE done AND due < $1 ORDER BY due LIMIT $2 FOR UPDATE SKIP LOCKED)`, w.EndedBefore, w.Removed},
		{`DELETE FROM graces WHERE (kubbi, key) IN
			(SELECT kubbi, key FROM graces WHERE until <= $1 ORDER BY until LIMIT $2 FOR UPDATE SKIP LOCKED)`, w.Now, w.Did},
		{`DELETE FROM uses WHERE (ends, length, bucket) IN
			(SELECT ends, length, bucket FROM uses WHERE ends <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)`, w.WindowsBefore, w.Did},
	} {
		if w.Left() == 0 {
			break
		}
		var b pgx.Batch
		b.Queue(remove.sql, millis(remove.before), w.Left()).Exec(func(tag pgconn.CommandTag) error {
			remove.count(int(tag.RowsAffected()))
			return nil
		})
		if err := q.step(ctx, &b); err != nil {
			return err
		}
	}
	return q.commit(ctx, &pgx.Batch{})
}

// visit begins a transaction and does the due work of kubbis.
func (w *sweep) visit(ctx context.Context, q *session) error {
	var due []*row
	b := begin()
	b.Queue("SELECT "+columns+" FROM kubbis WHERE NOT done AND due <= $1 ORDER BY due LIMIT $2 FOR UPDATE SKIP LOCKED", millis(w.Now), w.Left()).
		Query(func(rows pgx.Rows) error {
			return eachRow(rows, func(rows pgx.Rows) error {
				r := new(row)
				due = append(due, r)
				return r.scan(rows)
			})
		})
	if err := q.step(ctx, b); err != nil {
		return err
	}
	b = &pgx.Batch{}
	for _, r := range due {
		if err := q.loadGraces(ctx, r, store.Hash{}); err != nil {
			return err
		}
		if r.Sweep(w.Now) {
			b.Queue("UPDATE kubbis SET key = NULL, key_until = NULL, key_request = NULL, key_answer = NULL WHERE number = $1", int64(r.Number))
		}
		wiped, err := r.write(b, w.Now, true)
		if err != nil {
			return err
		}
		w.Visited(&r.Row, wiped)
	}
	if b.Len() == 0 {
		return nil
	}
	return q.step(ctx, b)
}
