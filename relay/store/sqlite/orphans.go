package sqlite

import (
	"context"
	"sync"
	"time"

	"kubbi-mcp/relay/store/body"
)

// orphans removes the files of wiped payloads in a goroutine of its own. It also finds the
// orphans of processes that have ended: files and slots that belong to no row.
type orphans struct {
	numbers chan int64
	gone    sync.WaitGroup

	mu        sync.Mutex
	nextFiles time.Time
	nextSlots time.Time
	slot      int64 // where the scan of the slots continues; 0: it is complete
}

// How often files and slots are scanned, and how many slots in one sweep.
const (
	filesEvery = time.Minute
	slotsEvery = time.Hour
	slotsOnce  = 16 << 10
)

func (t *orphans) start(s *Store) {
	t.numbers = make(chan int64, 1024)
	t.gone.Go(func() {
		for n := range t.numbers {
			// Some platforms can't remove an open file. A sweep will retry.
			_ = s.files.Remove(n)
		}
	})
	s.writer.removeFiles = func(numbers []int64) {
		for _, n := range numbers {
			select {
			case t.numbers <- n:
			default: // a sweep will find it
				return
			}
		}
	}
}

// end waits until all files are removed. The writer must have ended.
func (t *orphans) end() {
	close(t.numbers)
	t.gone.Wait()
}

// sweep looks for orphans. Each Sweep of the store calls it.
func (t *orphans) sweep(ctx context.Context, s *Store) error {
	if !t.mu.TryLock() {
		return nil
	}
	defer t.mu.Unlock()
	now := time.Now()
	if now.After(t.nextFiles) {
		t.nextFiles = now.Add(filesEvery)
		if err := t.sweepFiles(ctx, s); err != nil {
			return explain(s.path, err)
		}
	}
	if t.slot == 0 && now.After(t.nextSlots) {
		t.slot, t.nextSlots = 1, now.Add(slotsEvery)
	}
	if t.slot == 0 {
		return nil
	}
	return explain(s.path, t.sweepSlots(ctx, s))
}

func (t *orphans) sweepFiles(ctx context.Context, s *Store) error {
	numbers, err := s.files.Numbers()
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if _, err := s.sweepFile(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// sweepFile removes the file of a payload if it belongs to no row and is not being written. It
// reports whether it did.
func (s *Store) sweepFile(ctx context.Context, number int64) (removed bool, err error) {
	wanted := func() (is bool, err error) {
		err = s.withReader(ctx, func(c *conn) error {
			is = false
			return c.rows("SELECT body FROM kubbi WHERE number = ?", func(s *stmt) { is = !s.null(0) }, number)
		})
		return is, err
	}
	if is, err := wanted(); err != nil || is {
		return false, err
	}
	removed, err = s.files.Sweep(number, wanted)
	if err != nil {
		s.log.Warn("a file of no kubbi is not removed", "file", s.path, "error", err)
	}
	return removed, nil
}

// sweepSlots looks for orphaned slots without the writer. Then it checks them again in a
// transaction before it overwrites them.
func (t *orphans) sweepSlots(ctx context.Context, s *Store) error {
	used, next, err := s.slots.Scan(t.slot, slotsOnce)
	if err != nil {
		return err
	}
	var loose []body.Used
	err = s.withReader(ctx, func(c *conn) error {
		loose = nil
		for _, u := range used {
			slot, err := c.number(slotOf, u.Number)
			if err != nil {
				return err
			}
			if slot != u.Slot {
				loose = append(loose, u)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(loose) > 0 || next == 0 {
		o := &op{erases: len(loose) > 0, do: func(tx *tx) error {
			for _, u := range loose {
				if err := tx.clearUnused(u); err != nil {
					return err
				}
			}
			if next == 0 && !s.slots.Allocated() {
				return s.slots.Shrink()
			}
			return nil
		}}
		if err := s.writer.submit(ctx, o); err != nil {
			return err
		}
	}
	t.slot = next
	return nil
}
