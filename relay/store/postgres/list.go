package postgres

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"kubbi-mcp/relay/store"
)

// List gives a page of an owner's kubbis: see store.Store.
func (s *Store) List(ctx context.Context, owner string, p store.Page, now time.Time) (listed *store.Listed, err error) {
	err = s.run(ctx, func(q *session) (err error) {
		l := &lister{owner: owner, status: p.Status, now: store.MillisOf(now)}
		listed, err = l.list(ctx, q, p)
		return err
	})
	return listed, err
}

// lister reads one page.
type lister struct {
	owner  string
	status *store.Status // nil: any
	now    store.Millis
	kubbis []store.Kubbi
}

func (l *lister) list(ctx context.Context, q *session, p store.Page) (*store.Listed, error) {
	newest, total := p.Anchor.Newest, 0
	b := &pgx.Batch{}
	b.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") // one snapshot
	if newest == 0 {
		newest = math.MaxInt64
		b.Queue("SELECT coalesce(max(number), 0) + 1 FROM kubbis WHERE owner = $1", l.owner).
			QueryRow(func(res pgx.Row) error { return res.Scan((*int64)(&newest)) })
	}
	where, args := l.where(newest)
	b.Queue("SELECT count(*)"+where, args...).QueryRow(func(res pgx.Row) error { return res.Scan(&total) })
	// Pages that need no total are read in the same round trip.
	early := p.Number == 1 || p.Continues()
	if early {
		l.read(b, p, newest, 0)
	}
	b.Queue("COMMIT")
	if err := q.step(ctx, b); err != nil {
		return nil, err
	}
	if !early {
		b = &pgx.Batch{}
		l.read(b, p, newest, total)
		if err := q.step(ctx, b); err != nil {
			return nil, err
		}
	}
	return p.Listed(newest, total, l.kubbis), nil
}

// where selects the kubbis of a list below a number. An active kubbi counts as expired from
// its ExpiresAt on, even before a sweep has visited it.
func (l *lister) where(below store.Number) (sql string, args []any) {
	const all = " FROM kubbis WHERE owner = $1 AND number < $2"
	if l.status == nil {
		return all, []any{l.owner, int64(below)}
	}
	return all + " AND CASE WHEN status = 0 AND expires_at <= $3 THEN 1 ELSE status END = $4",
		[]any{l.owner, int64(below), millis(l.now), int(*l.status)}
}

// read queues the kubbis of a page.
func (l *lister) read(b *pgx.Batch, p store.Page, newest store.Number, total int) {
	r, ok := p.Range(newest, total)
	if !ok {
		return
	}
	where, args := l.where(r.Below)
	limit := " LIMIT $3 OFFSET $4"
	if len(args) > 2 {
		limit = " LIMIT $5 OFFSET $6"
	}
	order := " ORDER BY number DESC"
	if r.OldestFirst {
		order = " ORDER BY number"
	}
	b.Queue("SELECT "+columns+where+order+limit, append(args, r.Limit, r.Skip)...).Query(func(rows pgx.Rows) error {
		err := eachRow(rows, func(rows pgx.Rows) error {
			var found row
			err := found.scan(rows)
			found.Expire(l.now)
			l.kubbis = append(l.kubbis, found.Kubbi())
			return err
		})
		if r.OldestFirst {
			slices.Reverse(l.kubbis)
		}
		return err
	})
}
