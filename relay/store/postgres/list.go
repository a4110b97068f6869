package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"kubbi-mcp/relay/store"
)

// List gives a page of an owner's kubbis: see store.Store. The page after the
// anchor's goes on below its last number, however deep that is; any other is
// counted from the nearer end.
func (s *Store) List(ctx context.Context, owner string, p store.Page, now time.Time) (*store.Listed, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	l := &lister{owner: owner, page: p, now: store.MillisOf(now)}
	if err := s.run(ctx, func(q *session) error { return l.list(ctx, q) }); err != nil {
		return nil, err
	}
	return &l.listed, nil
}

// lister reads a page.
type lister struct {
	owner  string
	page   store.Page
	now    store.Millis
	listed store.Listed
}

// longest is more than a list can have.
const longest = 1<<31 - 1

func (l *lister) list(ctx context.Context, q *session) error {
	p, from := l.page, l.page.Anchor
	l.listed = store.Listed{Anchor: store.Anchor{Newest: from.Newest, Page: p.Number, After: 1}}
	newest := &l.listed.Anchor.Newest

	// All of one moment.
	b := &pgx.Batch{}
	b.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
	if *newest == 0 {
		*newest = 1<<63 - 1
		b.Queue("SELECT coalesce(max(number), 0) + 1 FROM kubbis WHERE owner = $1", l.owner).
			QueryRow(func(res pgx.Row) error { return res.Scan((*int64)(newest)) })
	}
	where, args := l.where(*newest)
	b.Queue("SELECT count(*)"+where, args...).QueryRow(func(res pgx.Row) error { return res.Scan(&l.listed.Total) })
	possible := p.Number >= 1 && p.Limit >= 1 && p.Limit < longest && p.Number-1 <= longest/p.Limit
	next := from.After > 0 && p.Number == from.Page+1
	switch {
	case !possible:
	case next:
		l.listed.Anchor.After = from.After
		l.read(b, from.After, 0, p.Limit, false)
	case p.Number == 1:
		l.read(b, *newest, 0, p.Limit, false)
	}
	b.Queue("COMMIT")
	if err := q.step(ctx, b); err != nil {
		return err
	}
	if before := (p.Number - 1) * p.Limit; possible && !next && p.Number > 1 && before < l.listed.Total {
		b = &pgx.Batch{}
		if rest := l.listed.Total - before; rest < before {
			n := min(rest, p.Limit)
			l.read(b, *newest, rest-n, n, true)
		} else {
			l.read(b, *newest, before, p.Limit, false)
		}
		if err := q.step(ctx, b); err != nil {
			return err
		}
	}
	if n := len(l.listed.Kubbis); n > 0 {
		l.listed.Anchor.After = l.listed.Kubbis[n-1].Token.Number
	}
	return nil
}

// where is what a list below a number is made of. An active kubbi that has expired
// counts as such before a sweep has seen it.
func (l *lister) where(below store.Number) (sql string, args []any) {
	const all = " FROM kubbis WHERE owner = $1 AND number < $2"
	if l.page.Status == nil {
		return all, []any{l.owner, int64(below)}
	}
	return all + " AND CASE WHEN status = 0 AND expires_at <= $3 THEN 1 ELSE status END = $4",
		[]any{l.owner, int64(below), when(l.now), int(*l.page.Status)}
}

// read queues the kubbis of a list below a number: n of them, after offset newer
// ones, or, from the end, before offset older ones.
func (l *lister) read(b *pgx.Batch, below store.Number, offset, n int, fromEnd bool) {
	where, args := l.where(below)
	limit := " LIMIT $3 OFFSET $4"
	if len(args) > 2 {
		limit = " LIMIT $5 OFFSET $6"
	}
	order := " ORDER BY number DESC"
	if fromEnd {
		order = " ORDER BY number"
	}
	b.Queue("SELECT "+columns+where+order+limit, append(args, n, offset)...).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var r row
			if err := r.scan(rows); err != nil {
				return err
			}
			r.Settle(l.now)
			l.listed.Kubbis = append(l.listed.Kubbis, r.kubbi())
		}
		if fromEnd {
			slices.Reverse(l.listed.Kubbis)
		}
		return rows.Err()
	})
}
