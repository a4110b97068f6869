package sqlite

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"kubbi-mcp/relay/store"
)

// List gives a page of an owner's kubbis: see store.Store. The page after the one
// that gave the anchor goes on where that ended; any other is walked to from the
// nearer end of the list, in an index.
func (s *Store) List(ctx context.Context, owner string, p store.Page, now time.Time) (*store.Listed, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	l := &lister{owner: owner, page: p, now: int64(store.MillisOf(now))}
	err := s.read(ctx, func(q *reader) (err error) {
		if err := q.begin.run(); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, q.end.run()) }()
		l.q = q
		return l.list()
	})
	if err != nil {
		return nil, err
	}
	for i := range l.rows {
		r := &l.rows[i]
		r.Settle(store.MillisOf(now))
		if r.Status == store.Active {
			var there bool
			if r.secret, there, err = s.slots.Read(r.slot, int64(r.number)); err != nil {
				return nil, s.explainFile(err)
			}
			if !there { // it has ended since, or is damaged: one more look at it alone
				if err := s.again(ctx, r, now); err != nil {
					return nil, err
				}
			}
		}
		l.listed.Kubbis = append(l.listed.Kubbis, r.kubbi())
	}
	return &l.listed, nil
}

// again reads a row of a list once more. One that is damaged or was removed stays
// as it is: the others must be shown.
func (s *Store) again(ctx context.Context, r *row, now time.Time) error {
	n := r.number
	fresh, err := s.look(ctx, now, func(q *reader, r *row) error { return r.find(q.byNumber, n) })
	switch {
	case err == nil:
		*r = *fresh
	case !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrDamaged):
		return err
	}
	return nil
}

// lister makes one page, in one snapshot.
type lister struct {
	q      *reader
	owner  string
	page   store.Page
	now    int64
	listed store.Listed
	rows   []row
}

func (l *lister) list() error {
	anchor := l.page.Anchor
	first := anchor == store.Anchor{}
	if first {
		l.q.newest.bindText(1, l.owner)
		newest, err := l.q.newest.one()
		if err != nil {
			return err
		}
		anchor.Newest = store.Number(newest) + 1
	}
	total, err := l.total()
	if err != nil {
		return err
	}
	if !first {
		newer, err := l.count(l.q.newer, l.q.newerOf, anchor.Newest)
		if err != nil {
			return err
		}
		total -= newer
	}
	l.listed = store.Listed{Total: int(max(0, total)), Anchor: anchor}
	if l.page.Number < 1 || l.page.Limit < 1 || int64(l.page.Number-1) > math.MaxInt64/int64(l.page.Limit)-1 {
		return nil
	}
	offset := int64(l.page.Number-1) * int64(l.page.Limit)
	var numbers []store.Number
	if !first && l.page.Number == anchor.Page+1 && anchor.After > 0 {
		numbers, err = l.numbers(l.q.after, l.q.afterOf, min(anchor.After, anchor.Newest), l.page.Limit+1, 0)
		if err != nil {
			return err
		}
		// What was removed from earlier pages must not make the rest look like
		// nothing.
		if len(numbers) > 0 {
			l.listed.Total = max(l.listed.Total, int(offset)+len(numbers))
		}
		numbers = numbers[:min(len(numbers), l.page.Limit)]
	} else if numbers, err = l.jump(anchor.Newest, offset, total); err != nil {
		return err
	}
	if len(numbers) > 0 {
		l.listed.Anchor.Page = l.page.Number
		l.listed.Anchor.After = numbers[len(numbers)-1]
	}
	return l.read(numbers)
}

// jump finds a page by its place in the list.
func (l *lister) jump(newest store.Number, offset, total int64) ([]store.Number, error) {
	left := total - offset
	if left <= 0 {
		return nil, nil
	}
	if offset <= left {
		return l.numbers(l.q.after, l.q.afterOf, newest, l.page.Limit, offset)
	}
	n := min(int64(l.page.Limit), left)
	numbers, err := l.numbers(l.q.oldest, l.q.oldestOf, newest, int(n), left-n)
	slices.Reverse(numbers)
	return numbers, err
}

// pick is the statement for all kubbis, or that for those of one status.
func (l *lister) pick(all, of *stmt) *stmt {
	if l.page.Status == nil {
		return all
	}
	of.bindInt(5, l.now)
	of.bindInt(6, int64(*l.page.Status))
	return of
}

func (l *lister) numbers(all, of *stmt, below store.Number, limit int, offset int64) ([]store.Number, error) {
	s := l.pick(all, of)
	s.bindText(1, l.owner)
	s.bindInt(2, int64(below))
	s.bindInt(3, int64(limit))
	s.bindInt(4, offset)
	var found []store.Number
	err := s.each(func() { found = append(found, store.Number(s.int(0))) })
	return found, err
}

func (l *lister) count(all, of *stmt, from store.Number) (int64, error) {
	s := l.pick(all, of)
	s.bindText(1, l.owner)
	s.bindInt(2, int64(from))
	return s.one()
}

// total is how many kubbis the owner has, of the status that is asked for.
func (l *lister) total() (int64, error) {
	s := l.q.total
	s.bindText(1, l.owner)
	var n int64
	var of [4]int64
	if err := s.each(func() {
		n = s.int(0)
		for i := range of {
			of[i] = s.int(1 + i)
		}
	}); err != nil || l.page.Status == nil {
		return n, err
	}
	status := *l.page.Status
	if status < store.Active || status > store.Deleted {
		return 0, nil
	}
	if status == store.Active || status == store.Expired {
		l.q.unswept.bindText(1, l.owner)
		l.q.unswept.bindInt(2, l.now)
		late, err := l.q.unswept.one()
		if err != nil {
			return 0, err
		}
		of[store.Active] -= late
		of[store.Expired] += late
	}
	return of[status], nil
}

// read reads the rows. A damaged one is left out, so that the others are shown.
func (l *lister) read(numbers []store.Number) error {
	l.rows = make([]row, 0, len(numbers))
	for _, n := range numbers {
		var r row
		switch err := r.find(l.q.byNumber, n); {
		case err == nil:
			l.rows = append(l.rows, r)
		case !errors.Is(err, store.ErrDamaged):
			return err
		}
	}
	return nil
}
