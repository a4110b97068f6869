package sqlite

import (
	"context"
	"time"

	"kubbi-mcp/relay/store"
)

const (
	// sweepBatch is how many pieces of work Sweep does in one transaction, so
	// that others need not wait long.
	sweepBatch = 64
	// hidden is how long a window that has ended stays: whoever's clock is behind
	// may still be in it.
	hidden = time.Hour
)

// Delete ends a kubbi: see store.Store.
func (s *Store) Delete(ctx context.Context, owner, id string, now time.Time) (*store.Kubbi, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	at := store.MillisOf(now)
	d := &struct {
		op
		row row
	}{}
	d.erases = true
	d.do = func(t *tx) error {
		r := &d.row
		if err := r.byID(t.byNumber, owner, id); err != nil {
			return err
		}
		r.Settle(at)
		if err := r.Status.Err(); err != nil {
			return err
		}
		r.Life.Delete(at)
		if err := t.end(r); err != nil {
			return err
		}
		if err := t.settleRow(r, at); err != nil {
			return err
		}
		return t.rearm(r, false)
	}
	if err := s.writer.submit(ctx, &d.op); err != nil {
		return nil, err
	}
	k := d.row.kubbi()
	return &k, nil
}

// Sweep does what time brings: see store.Store. It also does what processes that
// ended have left behind.
func (s *Store) Sweep(ctx context.Context, now time.Time, retention time.Duration, limit int) (store.Swept, error) {
	var all store.Swept
	if err := s.enter(ctx); err != nil {
		return all, err
	}
	defer s.leave()
	for left := limit; left > 0; {
		b := &broom{w: &s.writer, now: store.MillisOf(now), ended: store.MillisOf(now.Add(-retention)), gone: store.MillisOf(now.Add(-hidden))}
		n := min(left, sweepBatch)
		b.erases = true // what is due has waited already
		b.do = func(t *tx) error { return b.sweep(t, n) }
		if err := s.writer.submit(ctx, &b.op); err != nil {
			return all, err
		}
		all.Expired += b.swept.Expired
		all.Wiped += b.swept.Wiped
		all.Removed += b.swept.Removed
		if b.pieces < n {
			return all, s.tidy.look(ctx, s)
		}
		left -= b.pieces
	}
	all.More = true
	return all, nil
}

// broom is one batch of a sweep.
type broom struct {
	op
	w                *writer
	now, ended, gone store.Millis
	swept            store.Swept
	pieces           int
}

func (b *broom) sweep(t *tx, limit int) error {
	b.swept, b.pieces = store.Swept{}, 0
	if err := b.w.erase.adopt(b.w); err != nil {
		return err
	}
	var numbers [sweepBatch]store.Number
	for _, work := range []struct {
		from, to int64
		do       func(*tx, store.Number) error
	}{
		{0, int64(b.now), b.visit},
		{-1 << 63, int64(b.ended) - 1 - tombstone, b.drop},
	} {
		found, err := list(t.due, work.from, work.to, numbers[:limit-b.pieces])
		if err != nil {
			return err
		}
		for _, n := range found {
			if err := work.do(t, n); err != nil {
				return err
			}
			b.pieces++
		}
	}
	if err := b.forget(t, limit-b.pieces); err != nil {
		return err
	}
	n, err := t.dropUsed(int64(b.gone), limit-b.pieces)
	b.pieces += n
	return err
}

// list gives the numbers of kubbis that are due between two times.
func list(s *stmt, from, to int64, into []store.Number) ([]store.Number, error) {
	if len(into) == 0 {
		return nil, nil
	}
	s.bindInt(1, from)
	s.bindInt(2, to)
	s.bindInt(3, int64(len(into)))
	n := 0
	err := s.each(func() {
		into[n] = store.Number(s.int(0))
		n++
	})
	return into[:n], err
}

// visit does for a kubbi what is due.
func (b *broom) visit(t *tx, n store.Number) error {
	var r row
	if err := r.find(t.byNumber, n); err != nil {
		return b.damaged(t, n, err)
	}
	expired := r.Settle(b.now)
	if expired {
		if err := t.end(&r); err != nil {
			return err
		}
		b.swept.Expired++
	}
	if r.Sealed {
		last, err := t.lastGrace(&r)
		if err != nil {
			return err
		}
		over := last != store.Never && last <= b.now
		switch {
		case r.Wipes(last, b.now):
			if err := t.wipeRow(&r); err != nil {
				return err
			}
			if !expired {
				b.swept.Wiped++
			}
		case expired || over:
			if over {
				r.grace, r.graceMore = store.Grace{Until: store.Never}, false
			}
			if err := t.saveRow(&r); err != nil {
				return err
			}
		}
	}
	if r.hasKey && r.KeyUntil <= b.now {
		if err := t.forget(&r); err != nil {
			return err
		}
	}
	return t.rearm(&r, true)
}

// drop removes a tombstone.
func (b *broom) drop(t *tx, n store.Number) error {
	var r row
	if err := r.find(t.byNumber, n); err != nil {
		return b.damaged(t, n, err)
	}
	t.drop.bindInt(1, int64(n))
	t.removed(&r)
	b.swept.Removed++
	return t.drop.run()
}

// forget drops claim keys in the table grace whose time is over, so that a
// kubbi that is claimed all day does not gather a day's keys.
func (b *broom) forget(t *tx, limit int) error {
	if limit == 0 {
		return nil
	}
	type ended struct {
		number int64
		key    []byte // whatever its length: the file may be damaged
	}
	var keys []ended
	s := t.spent
	s.bindInt(1, int64(b.now))
	s.bindInt(2, int64(limit))
	if err := s.each(func() { keys = append(keys, ended{s.int(0), s.bytes(1)}) }); err != nil {
		return err
	}
	for _, k := range keys {
		if err := t.dropGrace(k.number, k.key); err != nil {
			return err
		}
	}
	b.pieces += len(keys)
	return nil
}

// damaged removes a row that is not what this program has written, so that it
// does not hold up the sweep for good. Its slot is found as one without a row.
func (b *broom) damaged(t *tx, n store.Number, err error) error {
	if fatal(err) {
		return err
	}
	b.w.log.Error("a damaged row is removed from the store", "file", b.w.path, "number", int64(n), "error", err)
	return t.dropRow(int64(n))
}
