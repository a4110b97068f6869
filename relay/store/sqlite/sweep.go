package sqlite

import (
	"context"
	"time"

	"kubbi-mcp/relay/store"
)

// Sweep does the work that is due: see store.Store. It also removes orphaned files and slots of
// processes that have ended.
func (s *Store) Sweep(ctx context.Context, now time.Time, retention time.Duration, limit int) (store.Swept, error) {
	if err := s.calls.Enter(ctx); err != nil {
		return store.Swept{}, err
	}
	defer s.calls.Leave()
	o := &sweep{w: &s.writer, SweepWork: store.NewSweepWork(now, retention, limit)}
	o.erases = true // due wipes have waited long enough
	o.do = o.sweep
	if err := s.writer.submit(ctx, &o.op); err != nil {
		return store.Swept{}, err // the writer may still be at work on o
	}
	swept := o.Result()
	if swept.More {
		return swept, nil
	}
	return swept, s.orphans.sweep(ctx, s)
}

// sweep is the op of Sweep.
type sweep struct {
	op
	store.SweepWork
	w *writer
}

func (o *sweep) sweep(t *tx) error {
	o.Start()
	if err := o.w.erase.adopt(o.w); err != nil {
		return err
	}
	for _, work := range []struct {
		from, to int64
		do       func(*tx, store.Number) error
	}{
		{0, int64(o.Now), o.visit},
		{-1 << 63, int64(o.EndedBefore) - 1 - tombstone, o.remove},
	} {
		var numbers []store.Number
		if err := t.rows("SELECT number FROM kubbi INDEXED BY kubbi_due WHERE due BETWEEN ? AND ? ORDER BY due LIMIT ?",
			func(s *stmt) { numbers = append(numbers, store.Number(s.int(0))) }, work.from, work.to, o.Left()); err != nil {
			return err
		}
		for _, n := range numbers {
			if err := work.do(t, n); err != nil {
				return err
			}
		}
	}
	// Otherwise a kubbi that is claimed all day would keep all keys of that day.
	for _, drop := range []struct {
		sql    string
		before store.Millis
	}{
		{`DELETE FROM grace WHERE (kubbi, key) IN
			(SELECT kubbi, key FROM grace INDEXED BY grace_until WHERE until <= ? ORDER BY until LIMIT ?)`, o.Now},
		{`DELETE FROM used WHERE (ends, length, bucket) IN
			(SELECT ends, length, bucket FROM used WHERE ends <= ? ORDER BY ends LIMIT ?)`, o.WindowsBefore},
	} {
		if err := t.exec(drop.sql, drop.before, o.Left()); err != nil {
			return err
		}
		o.Did(t.Changes())
	}
	return nil
}

// visit does the due work of a kubbi.
func (o *sweep) visit(t *tx, n store.Number) error {
	var r row
	if err := r.byNumber(t.conn, n); err != nil {
		return o.removeDamaged(t, n, err)
	}
	if err := t.loadGraces(&r, store.Hash{}); err != nil {
		return err
	}
	if r.Sweep(o.Now) {
		if err := t.exec(forgetKey, n); err != nil {
			return err
		}
	}
	wiped, err := t.write(&r, o.Now, true)
	if err == nil {
		o.Visited(&r.Row, wiped)
	}
	return err
}

// remove removes a tombstone.
func (o *sweep) remove(t *tx, n store.Number) error {
	var r row
	if err := r.byNumber(t.conn, n); err != nil {
		return o.removeDamaged(t, n, err)
	}
	t.totals.count(&r, -1)
	o.Removed(1)
	return t.exec(dropRow, n)
}

// removeDamaged removes a row that this program can't have written, so that it does not block
// every sweep. Its slot is removed later as an orphan.
func (o *sweep) removeDamaged(t *tx, n store.Number, err error) error {
	if fatal(err) {
		return err
	}
	o.w.log.Error("a damaged row is removed from the store", "file", o.w.path, "number", int64(n), "error", err)
	o.Did(1)
	return t.remove(n)
}
