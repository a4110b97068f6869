package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kubbi-mcp/relay/store"
)

// one reads the row of a kubbi.
func (s *Store) one(ctx context.Context, r *row, sql string, arg any) error {
	return s.run(ctx, func(q *session) error {
		var found bool
		var b pgx.Batch
		r.find(&b, &found, sql, arg)
		err := q.step(ctx, &b)
		if err == nil && !found {
			return store.ErrNotFound
		}
		return err
	})
}

// Inspect looks at an active kubbi: see store.Store.
func (s *Store) Inspect(ctx context.Context, token store.Hash, now time.Time) (*store.Kubbi, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	var r row
	if err := s.one(ctx, &r, "SELECT "+columns+" FROM kubbi WHERE token = $1", token[:]); err != nil {
		return nil, err
	}
	r.settle(ms(now))
	if err := r.status.Err(); err != nil {
		return nil, err
	}
	k, err := r.kubbi()
	return &k, err
}

// Get gives an owner's kubbi: see store.Store.
func (s *Store) Get(ctx context.Context, owner, id string, now time.Time) (*store.Kubbi, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	u, err := store.ParseID(id)
	if err != nil {
		return nil, store.ErrNotFound
	}
	var r row
	if err := s.one(ctx, &r, "SELECT "+columns+" FROM kubbi WHERE id = $1", u); err != nil {
		return nil, err
	}
	if r.owner != owner {
		return nil, store.ErrNotFound
	}
	r.settle(ms(now))
	k, err := r.kubbi()
	return &k, err
}

// longest is more than a list can have.
const longest = 1<<31 - 1

// emptyList is the anchor of a list with nothing in it: kubbi_seq starts after.
const emptyList = 1

// List gives a page of an owner's kubbis: see store.Store. A kubbi that was
// removed since the anchor keeps its place on its page, which is then shorter.
func (s *Store) List(ctx context.Context, owner string, p store.Page, now time.Time) (*store.Listed, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	var listed *store.Listed
	err := s.run(ctx, func(q *session) (err error) {
		listed = &store.Listed{Anchor: p.Anchor}
		if p.Anchor == 0 {
			if listed.Anchor, err = q.anchor(ctx, owner); err != nil {
				return err
			}
		}
		return q.page(ctx, owner, p, ms(now), listed)
	})
	if err != nil {
		return nil, err
	}
	return listed, nil
}

// anchor draws the number that a new list ends before. While it has the
// owner's row to itself nothing with a lower one is still on its way: numbers
// are drawn under a lock that is kept until the commit. Nothing is written, so
// that there is nothing to commit.
func (q *session) anchor(ctx context.Context, owner string) (int64, error) {
	next, known := int64(0), false
	b := begin()
	b.Queue("SELECT name FROM owner WHERE name = $1 FOR UPDATE", owner).Query(func(rows pgx.Rows) error {
		known = rows.Next()
		rows.Close()
		return rows.Err()
	})
	b.Queue("SELECT nextval('kubbi_seq')").QueryRow(func(res pgx.Row) error { return res.Scan(&next) })
	b.Queue("ROLLBACK")
	if err := q.step(ctx, b); err != nil {
		return 0, err
	}
	if !known {
		return emptyList, nil
	}
	return next, nil
}

func (q *session) page(ctx context.Context, owner string, p store.Page, now when, listed *store.Listed) error {
	if p.Status != nil {
		return q.filteredPage(ctx, owner, p, now, listed)
	}
	var b pgx.Batch
	b.Queue(`SELECT (SELECT count(*) FROM kubbi WHERE owner = $1 AND seq < $2) +
		(SELECT count(*) FROM removed WHERE owner = $1 AND seq < $2 AND removed >= $2)`, owner, listed.Anchor).
		QueryRow(func(res pgx.Row) error { return res.Scan(&listed.Total) })
	if offset, ok := start(p); ok {
		// Each half by its index: the planner would not find that by itself.
		b.Queue(`SELECT `+columns+` FROM (
			(SELECT id, seq, created_at FROM kubbi WHERE owner = $1 AND seq < $2
				ORDER BY created_at DESC, seq DESC LIMIT $5)
			UNION ALL
			(SELECT NULL, seq, created_at FROM removed WHERE owner = $1 AND seq < $2 AND removed >= $2
				ORDER BY created_at DESC, seq DESC LIMIT $5)
			ORDER BY created_at DESC, seq DESC LIMIT $3 OFFSET $4) AS p (kubbi, place, made)
			JOIN kubbi ON id = p.kubbi ORDER BY p.made DESC, p.place DESC`,
			owner, listed.Anchor, p.Limit, offset, int64(offset)+int64(p.Limit)).Query(into(listed, now))
	}
	return q.step(ctx, &b)
}

// filteredPage is page for one status. An active kubbi that has expired counts as
// such before a sweep has seen it.
func (q *session) filteredPage(ctx context.Context, owner string, p store.Page, now when, listed *store.Listed) error {
	const filtered = ` FROM kubbi WHERE owner = $1 AND seq < $2
		AND CASE WHEN status = 0 AND expires_at <= $3 THEN 1 ELSE status END = $4`
	var b pgx.Batch
	b.Queue("SELECT count(*)"+filtered, owner, listed.Anchor, now, int(*p.Status)).
		QueryRow(func(res pgx.Row) error { return res.Scan(&listed.Total) })
	if offset, ok := start(p); ok {
		b.Queue("SELECT "+columns+filtered+" ORDER BY created_at DESC, seq DESC LIMIT $5 OFFSET $6",
			owner, listed.Anchor, now, int(*p.Status), p.Limit, offset).Query(into(listed, now))
	}
	return q.step(ctx, &b)
}

// start is how many kubbis stand before a page, and whether there can be any on it.
func start(p store.Page) (offset int, ok bool) {
	if p.Number < 1 || p.Limit < 1 || p.Limit >= longest || p.Number-1 > longest/p.Limit {
		return 0, false
	}
	return (p.Number - 1) * p.Limit, true
}

// into adds the kubbis of an answer to a list.
func into(listed *store.Listed, now when) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		for rows.Next() {
			var r row
			if err := rows.Scan(r.fields()...); err != nil {
				return err
			}
			r.settle(now)
			k, err := r.kubbi()
			if err != nil {
				return final{err}
			}
			listed.Kubbis = append(listed.Kubbis, k)
		}
		return rows.Err()
	}
}

// MasterKeys names the master keys in use: see store.Store. It looks at every
// kubbi.
func (s *Store) MasterKeys(ctx context.Context) ([]string, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	var ids []string
	err := s.run(ctx, func(q *session) error {
		ids = nil
		var b pgx.Batch
		b.Queue("SELECT master_key FROM kubbi WHERE sealed UNION SELECT master_key FROM notice").Query(func(rows pgx.Rows) error {
			for rows.Next() {
				var id string
				if err := rows.Scan(&id); err != nil {
					return err
				}
				ids = append(ids, id)
			}
			return rows.Err()
		})
		return q.step(ctx, &b)
	})
	if err != nil {
		return nil, err
	}
	return ids, nil
}

// statsCache keeps the last statistics for a while.
type statsCache struct {
	busy  chan struct{} // held while counting
	last  store.Stats
	until time.Time
}

// Stats counts what is in the store: see store.Store. It looks at every kubbi, so
// what it found is good for twenty times as long as that took, but at least a
// quarter of a second and at most half a minute.
func (s *Store) Stats(ctx context.Context) (*store.Stats, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	c := &s.stats
	select {
	case c.busy <- struct{}{}:
		defer func() { <-c.busy }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if start := time.Now(); !start.Before(c.until) {
		var now store.Stats
		err := s.run(ctx, func(q *session) error {
			var b pgx.Batch
			b.Queue(`SELECT count(*) FILTER (WHERE status = 0), count(*) FILTER (WHERE status = 1), count(*) FILTER (WHERE status = 2),
				count(*) FILTER (WHERE status = 3), coalesce(sum(size) FILTER (WHERE sealed), 0)::bigint,
				(SELECT count(*) FROM notice) FROM kubbi`).QueryRow(func(res pgx.Row) error {
				return res.Scan(&now.Active, &now.Expired, &now.Burned, &now.Deleted, &now.Bytes, &now.Notices)
			})
			return q.step(ctx, &b)
		})
		if err != nil {
			return nil, err
		}
		end := time.Now()
		c.last, c.until = now, end.Add(min(max(time.Second/4, 20*end.Sub(start)), 30*time.Second))
	}
	last := c.last
	return &last, nil
}

// Delete ends a kubbi: see store.Store.
func (s *Store) Delete(ctx context.Context, owner, id string, now time.Time) (*store.Kubbi, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	u, err := store.ParseID(id)
	if err != nil {
		return nil, store.ErrNotFound
	}
	var r row
	err = s.run(ctx, func(q *session) error { return r.delete(ctx, q, owner, u, ms(now)) })
	if err != nil {
		return nil, err
	}
	k := r.bare()
	return &k, nil
}

func (r *row) delete(ctx context.Context, q *session, owner string, id uuid.UUID, now when) error {
	var found bool
	b := begin()
	r.find(b, &found, "SELECT "+columns+" FROM kubbi WHERE id = $1 FOR UPDATE", [16]byte(id))
	if err := q.step(ctx, b); err != nil {
		return err
	}
	if !found || r.owner != owner {
		return store.ErrNotFound
	}
	if q.doubt && r.status == store.Deleted && r.ended == now {
		return nil // by an attempt before
	}
	r.settle(now)
	if err := r.status.Err(); err != nil {
		return err
	}
	r.status, r.ended = store.Deleted, now
	b = &pgx.Batch{}
	if err := r.notice(b, store.EventDeleted, now); err != nil {
		return err
	}
	r.wipe()
	r.rearm(false)
	r.queueWipe(b)
	return q.commit(ctx, b)
}
