package sqlite

import (
	"context"
	"errors"
	"time"

	"kubbi-mcp/relay/store"
)

const (
	// sweepBatch is how many pieces of work Sweep does in one transaction, so
	// that others need not wait long.
	sweepBatch = 32
	// sweepBytes is after how many bytes of payload wiped a transaction ends, for
	// the same reason.
	sweepBytes = 64 << 20
	// hidden is how long a removed tombstone keeps its place in the pages of
	// lists that began before.
	hidden = time.Hour
)

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
	at := ms(now)
	d := &struct {
		op
		row row
	}{}
	d.do = func(t *tx) error {
		r := &d.row
		if err := r.byID(t.byID, u); err != nil {
			return err
		}
		if r.owner != owner {
			return store.ErrNotFound
		}
		r.settle(at)
		if err := r.status.Err(); err != nil {
			return err
		}
		r.status = store.Deleted
		r.ended = at
		if err := t.end(r); err != nil {
			return err
		}
		if err := t.wipeRow(r); err != nil {
			return err
		}
		return t.rearm(r, false)
	}
	if err := s.writer.submit(ctx, &d.op); err != nil {
		return nil, err
	}
	k, err := d.row.kubbi()
	return &k, err
}

// Sweep does what time brings: see store.Store. A removed tombstone stays in
// the file, invisible, for another hour.
func (s *Store) Sweep(ctx context.Context, now time.Time, retention time.Duration, limit int) (store.Swept, error) {
	var all store.Swept
	if err := s.enter(ctx); err != nil {
		return all, err
	}
	defer s.leave()
	for left := limit; left > 0; {
		b := &broom{now: ms(now), ended: ms(now.Add(-retention)), gone: ms(now.Add(-hidden))}
		n := min(left, sweepBatch)
		b.do = func(t *tx) error {
			if err := b.sweep(t, n); err != nil {
				return err
			}
			// A process that was killed may have left in the log what it wiped.
			if leftLog(s.path) {
				t.wiped = true
			}
			return nil
		}
		if err := s.writer.submit(ctx, &b.op); err != nil {
			return all, err
		}
		all.Expired += b.swept.Expired
		all.Wiped += b.swept.Wiped
		all.Removed += b.swept.Removed
		if b.pieces < n && !b.full() {
			return all, nil
		}
		left -= b.pieces
	}
	all.More = true
	return all, nil
}

// broom is one batch of a sweep.
type broom struct {
	op
	now, ended, gone int64
	swept            store.Swept
	pieces           int
	bytes            int64 // wiped
}

func (b *broom) full() bool { return b.bytes >= sweepBytes }

func (b *broom) sweep(t *tx, limit int) error {
	b.swept, b.pieces, b.bytes = store.Swept{}, 0, 0
	var seqs [sweepBatch]int64
	for _, work := range []struct {
		find   *stmt
		before int64
		do     func(*tx, int64) error
	}{
		{t.due, b.now, b.visit},
		{t.ended, b.ended, b.hide},
		{t.gone, b.gone, b.drop},
	} {
		found, err := list(work.find, work.before, seqs[:limit-b.pieces])
		if err != nil {
			return err
		}
		for _, seq := range found {
			if err := work.do(t, seq); err != nil {
				return err
			}
			if b.pieces++; b.full() {
				return nil
			}
		}
	}
	if err := b.forget(t, limit-b.pieces); err != nil {
		return err
	}
	n, err := t.dropUsed(b.gone, limit-b.pieces)
	b.pieces += n
	return err
}

// list runs a statement that gives seqs before a time.
func list(s *stmt, before int64, into []int64) ([]int64, error) {
	if len(into) == 0 {
		return nil, nil
	}
	if err := s.args(0); err != nil {
		return nil, err
	}
	s.bindInt(1, before)
	s.bindInt(2, int64(len(into)))
	n := 0
	for {
		ok, err := s.step()
		if err != nil || !ok {
			return into[:n], err
		}
		into[n] = s.int(0)
		n++
	}
}

// visit does for a kubbi what is due.
func (b *broom) visit(t *tx, seq int64) error {
	var r row
	if err := r.bySeq(t.bySeq, seq); err != nil {
		return err
	}
	was := r.status
	if r.settle(b.now) {
		if err := t.end(&r); err != nil {
			return err
		}
	}
	if r.sealed {
		last, err := t.lastGrace(&r)
		if err != nil {
			return err
		}
		switch {
		case r.status != store.Active && last <= b.now:
			if err := t.wipeRow(&r); err != nil {
				return err
			}
			b.bytes += r.size
			if was != store.Active {
				b.swept.Wiped++
			}
		case r.status != was || (r.hasGrace || r.graceMore) && last <= b.now:
			if last <= b.now {
				r.hasGrace, r.graceMore = false, false
			}
			if err := t.saveRow(&r); err != nil {
				return err
			}
		}
		if r.status != was {
			b.swept.Expired++
		}
	}
	if r.hasKey && r.keyUntil <= b.now {
		if err := t.forget(&r); err != nil {
			return err
		}
	}
	return t.rearm(&r, true)
}

// hide removes a tombstone.
func (b *broom) hide(t *tx, seq int64) error {
	var r row
	if err := r.bySeq(t.bySeq, seq); err != nil {
		return err
	}
	n, err := t.number()
	if err != nil {
		return err
	}
	if err := t.hide.args(0); err != nil {
		return err
	}
	t.hide.bindInt(1, n)
	t.hide.bindInt(2, b.now)
	t.hide.bindInt(3, seq)
	t.removed(&r)
	b.swept.Removed++
	return t.hide.run()
}

// drop deletes a row that was removed long ago.
func (b *broom) drop(t *tx, seq int64) error {
	if err := t.drop.args(0); err != nil {
		return err
	}
	t.drop.bindInt(1, seq)
	return t.drop.run()
}

// forget drops claim keys in the table grace whose time is over, so that a
// kubbi that is claimed all day does not gather a day's keys.
func (b *broom) forget(t *tx, limit int) error {
	if limit == 0 {
		return nil
	}
	type ended struct {
		seq int64
		key []byte // whatever its length: the file may be damaged
	}
	var keys []ended
	s := t.spent
	if err := s.args(0); err != nil {
		return err
	}
	s.bindInt(1, b.now)
	s.bindInt(2, int64(limit))
	if err := s.each(func() { keys = append(keys, ended{s.int(0), s.bytes(1)}) }); err != nil {
		return err
	}
	for _, k := range keys {
		if err := t.graceDel.args(len(k.key)); err != nil {
			return err
		}
		t.graceDel.bindInt(1, k.seq)
		t.graceDel.bindBytes(2, k.key)
		if err := t.graceDel.run(); err != nil {
			return err
		}
	}
	b.pieces += len(keys)
	return nil
}

func (r *row) bySeq(s *stmt, seq int64) error {
	err := r.find(s, seq, func(*row) bool { return true })
	if errors.Is(err, store.ErrNotFound) {
		return errLost
	}
	return err
}
