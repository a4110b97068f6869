package sqlite

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"kubbi-mcp/relay/store"
)

// List gives a page of an owner's kubbis: see store.Store. It finds the page in an index,
// from the nearer end of the list.
func (s *Store) List(ctx context.Context, owner string, p store.Page, now time.Time) (listed *store.Listed, err error) {
	err = s.read(ctx, func(c *conn) error {
		l := &lister{c: c, owner: owner, status: -1, now: store.MillisOf(now)}
		if p.Status != nil {
			l.status = *p.Status
		}
		rows, newest, total, err := l.page(p)
		if err != nil {
			return err
		}
		kubbis := make([]store.Kubbi, len(rows))
		for i := range rows {
			r, err := s.listedRow(c, &rows[i], l.now)
			if err != nil {
				return err
			}
			kubbis[i] = r.Kubbi()
		}
		listed = p.Listed(newest, total, kubbis)
		return nil
	})
	return listed, err
}

// listedRow gives a row of a list with its secret. If the kubbi has ended since it was read, it is
// read again. If it is damaged or removed, it is shown as it was read, so that the other kubbis
// are shown.
func (s *Store) listedRow(c *conn, r *row, now store.Millis) (*row, error) {
	there, err := s.loadSecret(r, now)
	if err != nil || there {
		return r, err
	}
	fresh, err := s.look(now, func(fresh *row) error { return fresh.byNumber(c, r.Number) })
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrDamaged) {
		return r, nil
	}
	return fresh, err
}

// lister reads one page.
type lister struct {
	c      *conn
	owner  string
	status store.Status // -1: any
	now    store.Millis
}

// page reads a page in one snapshot.
func (l *lister) page(p store.Page) (rows []row, newest store.Number, total int, err error) {
	if err := l.c.exec("BEGIN"); err != nil {
		return nil, 0, 0, err
	}
	defer func() { err = errors.Join(err, l.c.exec("COMMIT")) }()
	n, err := l.total()
	if err != nil {
		return nil, 0, 0, err
	}
	if newest = p.Anchor.Newest; newest == 0 {
		last, err := l.c.number("SELECT max(number) FROM kubbi INDEXED BY kubbi_owner WHERE owner = ?", l.owner)
		if err != nil {
			return nil, 0, 0, err
		}
		newest = store.Number(last) + 1
	} else {
		newer, err := l.c.number("SELECT count(*) FROM kubbi INDEXED BY kubbi_owner WHERE owner = ?1 AND number >= ?2"+ofStatus,
			l.owner, newest, l.status, l.now)
		if err != nil {
			return nil, 0, 0, err
		}
		n -= newer
	}
	total = int(max(0, min(n, math.MaxInt32)))
	if r, ok := p.Range(newest, total); ok {
		rows, err = l.rows(r)
	}
	return rows, newest, total, err
}

// ofStatus selects kubbis of the status ?3, or any for -1. An active kubbi counts as expired
// from its ExpiresAt on, even before a sweep has visited it.
const ofStatus = " AND (?3 = -1 OR CASE WHEN status = 0 AND expires_at <= ?4 THEN 1 ELSE status END = ?3)"

// rows reads the rows of a range. It skips damaged rows, so that the others are shown.
func (l *lister) rows(r store.Range) (rows []row, err error) {
	order := " DESC"
	if r.OldestFirst {
		order = ""
	}
	err = l.c.rows("SELECT "+columns+" FROM kubbi INDEXED BY kubbi_owner WHERE owner = ?1 AND number < ?2"+ofStatus+
		" ORDER BY number"+order+" LIMIT ?5 OFFSET ?6", func(s *stmt) {
		var found row
		if found.scan(s) == nil {
			rows = append(rows, found)
		}
	}, l.owner, r.Below, l.status, l.now, r.Limit, r.Skip)
	if r.OldestFirst {
		slices.Reverse(rows)
	}
	return rows, err
}

// total is how many kubbis of the status the owner has.
func (l *lister) total() (n int64, err error) {
	var of [4]int64
	if err := l.c.rows("SELECT n, active, expired, burned, deleted FROM total WHERE kind = 0 AND name = ?", func(s *stmt) {
		n = s.int(0)
		for i := range of {
			of[i] = s.int(1 + i)
		}
	}, l.owner); err != nil || l.status == -1 {
		return n, err
	}
	if l.status < store.Active || l.status > store.Deleted {
		return 0, nil
	}
	if l.status == store.Active || l.status == store.Expired {
		late, err := l.c.number(`SELECT count(*) FROM kubbi INDEXED BY kubbi_due
			WHERE due BETWEEN 0 AND ?2 AND owner = ?1 AND status = 0 AND expires_at <= ?2`, l.owner, l.now)
		if err != nil {
			return 0, err
		}
		of[store.Active] -= late
		of[store.Expired] += late
	}
	return of[l.status], nil
}
