package sqlite

import (
	"context"
	"time"

	"kubbi-mcp/relay/store"
)

// sweepBatch is how many pieces of work Sweep does in one transaction. It is small, so that
// other calls do not wait long.
const sweepBatch = 64

// Sweep does the work that is due: see store.Store. It also removes orphaned files and slots of
// processes that have ended.
func (s *Store) Sweep(ctx context.Context, now time.Time, retention time.Duration, limit int) (store.Swept, error) {
	if err := s.calls.Enter(ctx); err != nil {
		return store.Swept{}, err
	}
	defer s.calls.Leave()
	swept, err := store.InBatches(limit, sweepBatch, func(n int) (store.Swept, int, error) {
		b := &sweepOp{w: &s.writer, SweepBatch: store.NewSweepBatch(now, retention, n)}
		b.erases = true // due wipes have waited long enough
		b.do = b.sweep
		if err := s.writer.submit(ctx, &b.op); err != nil {
			return store.Swept{}, 0, err // the writer may still be at work on b
		}
		return b.Swept, b.Pieces, nil
	})
	if err == nil && !swept.More {
		err = s.orphans.sweep(ctx, s)
	}
	return swept, err
}

// sweepOp is one batch of a sweep.
type sweepOp struct {
	op
	store.SweepBatch
	w *writer
}

func (b *sweepOp) sweep(t *tx) error {
	b.Start()
	if err := b.w.erase.adopt(b.w); err != nil {
		return err
	}
	for _, work := range []struct {
		from, to int64
		do       func(*tx, store.Number) error
	}{
		{0, int64(b.Now), b.visit},
		{-1 << 63, int64(b.EndedBefore) - 1 - tombstone, b.remove},
	} {
		var numbers []store.Number
		if err := t.rows("SELECT number FROM kubbi INDEXED BY kubbi_due WHERE due BETWEEN ? AND ? ORDER BY due LIMIT ?",
			func(s *stmt) { numbers = append(numbers, store.Number(s.int(0))) }, work.from, work.to, b.Left()); err != nil {
			return err
		}
		for _, n := range numbers {
			if err := work.do(t, n); err != nil {
				return err
			}
			b.Pieces++
		}
	}
	// Otherwise a kubbi that is claimed all day would keep all keys of that day.
	for _, drop := range []struct {
		sql    string
		before store.Millis
	}{
		{`DELETE FROM grace WHERE (kubbi, key) IN
			(SELECT kubbi, key FROM grace INDEXED BY grace_until WHERE until <= ? ORDER BY until LIMIT ?)`, b.Now},
		{`DELETE FROM used WHERE (ends, length, bucket) IN
			(SELECT ends, length, bucket FROM used WHERE ends <= ? ORDER BY ends LIMIT ?)`, b.WindowsBefore},
	} {
		if err := t.exec(drop.sql, drop.before, b.Left()); err != nil {
			return err
		}
		b.Pieces += t.Changes()
	}
	return nil
}

// visit does the due work of a kubbi.
func (b *sweepOp) visit(t *tx, n store.Number) error {
	var r row
	if err := r.byNumber(t.conn, n); err != nil {
		return b.damaged(t, n, err)
	}
	if err := t.loadGraces(&r, store.Hash{}); err != nil {
		return err
	}
	if r.Sweep(b.Now) {
		if err := t.exec(forgetKey, n); err != nil {
			return err
		}
	}
	wiped, err := t.write(&r, b.Now, true)
	if err == nil {
		b.Swept.Add(&r.Row, wiped)
	}
	return err
}

// remove removes a tombstone.
func (b *sweepOp) remove(t *tx, n store.Number) error {
	var r row
	if err := r.byNumber(t.conn, n); err != nil {
		return b.damaged(t, n, err)
	}
	t.totals.count(&r, -1)
	b.Swept.Removed++
	return t.exec(dropRow, n)
}

// damaged removes a row that this program can't have written, so that it does not block every
// sweep. Its slot is removed later as an orphan.
func (b *sweepOp) damaged(t *tx, n store.Number, err error) error {
	if fatal(err) {
		return err
	}
	b.w.log.Error("a damaged row is removed from the store", "file", b.w.path, "number", int64(n), "error", err)
	return t.remove(n)
}
