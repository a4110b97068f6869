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
	// hidden is how long a removed tombstone keeps its place in the pages of
	// lists that began before.
	hidden = time.Hour
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
		w := &broom{now: ms(now), ended: ms(now.Add(-retention)), gone: ms(now.Add(-hidden)), limit: min(left, sweepBatch)}
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
	now, ended, gone when
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
	b.Queue("SELECT "+columns+" FROM kubbi WHERE due <= $1 ORDER BY due LIMIT $2 FOR UPDATE SKIP LOCKED", w.now, w.limit).
		Query(func(rows pgx.Rows) error {
			for rows.Next() {
				r := &row{mine: grace{until: never}, others: never}
				if err := rows.Scan(r.fields()...); err != nil {
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
	was := r.status
	if r.settle(w.now) {
		if err := r.notice(b, store.EventExpired, r.ended); err != nil {
			return err
		}
		w.swept.Expired++
	}
	if r.sealed && r.lastGrace() <= w.now {
		r.graceKey, r.graceMore = nil, false
	}
	if r.key != nil && r.keyUntil <= w.now {
		r.key = nil
		b.Queue("UPDATE kubbi SET key = NULL, key_until = NULL, key_request = NULL, key_answer = NULL WHERE id = $1", r.id)
	}
	if r.write(b, w.now, true) && was != store.Active {
		w.swept.Wiped++
	}
	return nil
}

// remove turns tombstones into places in lists. Like a create, and for the same
// reason, it shares a lock on their owners when it draws the numbers.
func (w *broom) remove(ctx context.Context, q *session) error {
	if w.pieces >= w.limit {
		return nil
	}
	var ids [][16]byte
	owners := map[string]bool{}
	var b pgx.Batch
	b.Queue("SELECT id, owner FROM kubbi WHERE ended_at < $1 AND due IS NULL ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED",
		w.ended, w.limit-w.pieces).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var id [16]byte
			var owner string
			if err := rows.Scan(&id, &owner); err != nil {
				return err
			}
			ids = append(ids, id)
			owners[owner] = true
		}
		return rows.Err()
	})
	if err := q.step(ctx, &b); err != nil || len(ids) == 0 {
		return err
	}
	w.pieces += len(ids)
	w.swept.Removed += len(ids)
	names := make([]string, 0, len(owners))
	for name := range owners {
		names = append(names, name)
	}
	b = pgx.Batch{}
	b.Queue("SELECT name FROM owner WHERE name = ANY($1) ORDER BY name FOR KEY SHARE", names)
	b.Queue(`WITH gone AS (DELETE FROM kubbi WHERE id = ANY($1) RETURNING seq, owner, created_at)
		INSERT INTO removed (seq, owner, created_at, removed, removed_at)
		SELECT seq, owner, created_at, nextval('kubbi_seq'), $2::bigint FROM gone`, ids, w.now)
	return q.step(ctx, &b)
}

// forget drops places in lists, claim keys and windows whose time is over, and
// commits. It comes last and waits for nobody, so that no deadlock comes of it.
func (w *broom) forget(ctx context.Context, q *session) error {
	var b pgx.Batch
	for _, f := range []struct {
		sql    string
		before when
	}{
		{"DELETE FROM removed WHERE seq IN (SELECT seq FROM removed WHERE removed_at < $1 ORDER BY removed_at LIMIT $2 FOR UPDATE SKIP LOCKED)", w.gone},
		{"DELETE FROM grace WHERE (kubbi, key) IN (SELECT kubbi, key FROM grace WHERE until <= $1 ORDER BY until LIMIT $2 FOR UPDATE SKIP LOCKED)", w.now},
		// Whoever's clock is behind may still be in a window that has just ended.
		{"DELETE FROM used WHERE (ends, length, bucket) IN (SELECT ends, length, bucket FROM used WHERE ends <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)", w.gone},
	} {
		b = pgx.Batch{}
		if w.pieces >= w.limit {
			break
		}
		b.Queue(f.sql, f.before, w.limit-w.pieces).Exec(func(tag pgconn.CommandTag) error {
			w.pieces += int(tag.RowsAffected())
			return nil
		})
		if err := q.step(ctx, &b); err != nil {
			return err
		}
	}
	return q.commit(ctx, &pgx.Batch{})
}
