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

func (o *orphans) start(s *Store) {
	o.numbers = make(chan int64, 1024)
	o.gone.Go(func() {
		for n := range o.numbers {
			// Some platforms can't remove an open file. A sweep will retry.
			_ = s.files.Remove(n)
		}
	})
	s.writer.removeFiles = func(numbers []int64) {
		for _, n := range numbers {
			select {
			case o.numbers <- n:
			default: // a sweep will find it
				return
			}
		}
	}
}

// end waits until all files are removed. The writer must have ended.
func (o *orphans) end() {
	close(o.numbers)
	o.gone.Wait()
}

// sweep looks for orphans. Each Sweep of the store calls it.
func (o *orphans) sweep(ctx context.Context, s *Store) error {
	if !o.mu.TryLock() {
		return nil
	}
	defer o.mu.Unlock()
	now := time.Now()
	if now.After(o.nextFiles) {
		o.nextFiles = now.Add(filesEvery)
		if err := o.sweepFiles(ctx, s); err != nil {
			return explain(s.path, err)
		}
	}
	if o.slot == 0 && now.After(o.nextSlots) {
		o.slot, o.nextSlots = 1, now.Add(slotsEvery)
	}
	if o.slot == 0 {
		return nil
	}
	return explain(s.path, o.sweepSlots(ctx, s))
}

func (o *orphans) sweepFiles(ctx context.Context, s *Store) error {
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
func (o *orphans) sweepSlots(ctx context.Context, s *Store) error {
	used, next, err := s.slots.Scan(o.slot, slotsOnce)
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
		err := s.writer.submit(ctx, &op{erases: len(loose) > 0, do: func(t *tx) error {
			for _, u := range loose {
				if err := t.clearUnused(u); err != nil {
					return err
				}
			}
			if next == 0 && !t.slots.Allocated() {
				return t.slots.Shrink()
			}
			return nil
		}})
		if err != nil {
			return err
		}
	}
	o.slot = next
	return nil
}
