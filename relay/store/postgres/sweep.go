package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"kubbi-mcp/relay/store"
)

const (
	// sweepBatch is how many pieces of work Sweep does in one transaction, so
	// that it holds few locks, for a short time.
	sweepBatch = 100
	// late is for how long windows that have ended are kept: whoever's clock is
	// behind may still be in one.
	late = time.Hour
)

// Sweep does what time brings: see store.Store. What another sweep, or a call,
// is at work on it leaves alone.
func (s *Store) Sweep(ctx context.Context, now time.Time, retention time.Duration, limit int) (store.Swept, error) {
	var all store.Swept
	if err := s.enter(ctx); err != nil {
		return all, err
	}
	defer s.leave()
	for left := limit; left > 0; {
		w := &broom{now: store.MillisOf(now), ended: store.MillisOf(now.Add(-retention)), gone: store.MillisOf(now.Add(-late)), limit: min(left, sweepBatch)}
		if err := s.run(ctx, func(q *session) error { return w.sweep(ctx, q) }); err != nil {
			return all, err
		}
		all.Expired += w.swept.Expired
		all.Wiped += w.swept.Wiped
		all.Removed += w.swept.Removed
		if w.pieces < w.limit {
			return all, nil
		}
		left -= w.pieces
	}
	all.More = true
	return all, nil
}

// broom is one batch of a sweep.
type broom struct {
	now, ended, gone store.Millis
	limit            int
	swept            store.Swept
	pieces           int
}

func (w *broom) sweep(ctx context.Context, q *session) error {
	w.swept, w.pieces = store.Swept{}, 0
	if err := w.visit(ctx, q); err != nil {
		return err
	}
	if err := w.remove(ctx, q); err != nil {
		return err
	}
	return w.forget(ctx, q)
}

// visit begins a transaction and does for kubbis what is due.
func (w *broom) visit(ctx context.Context, q *session) error {
	var due []*row
	b := begin()
	b.Queue("SELECT "+columns+" FROM kubbis WHERE NOT done AND due <= $1 ORDER BY due LIMIT $2 FOR UPDATE SKIP LOCKED", when(w.now), w.limit).
		Query(func(rows pgx.Rows) error {
			for rows.Next() {
				r := new(row)
				if err := r.scan(rows); err != nil {
					return err
				}
				due = append(due, r)
			}
			return rows.Err()
		})
	if err := q.step(ctx, b); err != nil {
		return err
	}
	w.pieces += len(due)
	b = &pgx.Batch{}
	for _, r := range due {
		if err := q.loadGraces(ctx, r, nil); err != nil {
			return err
		}
		if err := w.settle(b, r); err != nil {
			return err
		}
	}
	if b.Len() == 0 {
		return nil
	}
	return q.step(ctx, b)
}

func (w *broom) settle(b *pgx.Batch, r *row) error {
	was := r.Status
	if r.Settle(w.now) {
		if err := r.notice(b, store.EventExpired, r.Ended); err != nil {
			return err
		}
		w.swept.Expired++
	}
	if r.Sealed && r.lastGrace() <= w.now {
		r.graceKey, r.graceMore, r.mine, r.others = nil, false, store.Grace{Until: never}, never
	}
	if r.key != nil && r.KeyUntil <= w.now {
		r.key, r.KeyUntil = nil, never
		b.Queue("UPDATE kubbis SET key = NULL, key_until = NULL, key_request = NULL, key_answer = NULL WHERE number = $1", int64(r.number))
	}
	if r.write(b, w.now, true) && was != store.Active {
		w.swept.Wiped++
	}
	return nil
}

// remove removes tombstones.
func (w *broom) remove(ctx context.Context, q *session) error {
	if w.pieces >= w.limit {
		return nil
	}
	var b pgx.Batch
	b.Queue(`DELETE FROM kubbis WHERE number IN
		(SELECT number FROM kubbis WHERE done AND due < $1 ORDER BY due LIMIT $2 FOR UPDATE SKIP LOCKED)`,
		when(w.ended), w.limit-w.pieces).Exec(func(tag pgconn.CommandTag) error {
		w.pieces += int(tag.RowsAffected())
		w.swept.Removed += int(tag.RowsAffected())
		return nil
	})
	return q.step(ctx, &b)
}

// forget drops claim keys and windows whose time is over, and commits. It comes
// last and waits for nobody, so that no deadlock comes of it.
func (w *broom) forget(ctx context.Context, q *session) error {
	var b pgx.Batch
	for _, f := range []struct {
		sql    string
		before store.Millis
	}{
		{"DELETE FROM graces WHERE (kubbi, key) IN (SELECT kubbi, key FROM graces WHERE until <= $1 ORDER BY until LIMIT $2 FOR UPDATE SKIP LOCKED)", w.now},
		{"DELETE FROM uses WHERE (ends, length, bucket) IN (SELECT ends, length, bucket FROM uses WHERE ends <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)", w.gone},
	} {
		b = pgx.Batch{}
		if w.pieces >= w.limit {
			break
		}
		b.Queue(f.sql, when(f.before), w.limit-w.pieces).Exec(func(tag pgconn.CommandTag) error {
			w.pieces += int(tag.RowsAffected())
			return nil
		})
		if err := q.step(ctx, &b); err != nil {
			return err
		}
	}
	return q.commit(ctx, &pgx.Batch{})
}
