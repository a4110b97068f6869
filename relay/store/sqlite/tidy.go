package sqlite

import (
	"context"
	"sync"
	"time"

	"kubbi-mcp/relay/store/body"
)

// tidy removes the files of wiped payloads, beside the writer, and looks for what
// processes that ended have left: files and slots that no row leads to.
type tidy struct {
	numbers chan int64
	gone    sync.WaitGroup

	mu        sync.Mutex
	nextFiles time.Time
	nextSlots time.Time
	slot      int64 // where the look through the slots goes on; 0: it is done
}

// How often files and slots are looked through, and how many slots by one sweep.
const (
	filesEvery = time.Minute
	slotsEvery = time.Hour
	slotsOnce  = 16 << 10
)

func (t *tidy) start(s *Store) {
	t.numbers = make(chan int64, 1024)
	t.gone.Go(func() {
		for n := range t.numbers {
			// One that somebody reads stays on some platforms: a sweep tries again.
			_ = s.files.Remove(n)
		}
	})
	s.writer.remove = func(numbers []int64) {
		for _, n := range numbers {
			select {
			case t.numbers <- n:
			default: // a sweep finds it
				return
			}
		}
	}
}

// end waits until all are removed. The writer has ended.
func (t *tidy) end() {
	close(t.numbers)
	t.gone.Wait()
}

// look is a part of each sweep.
func (t *tidy) look(ctx context.Context, s *Store) error {
	if !t.mu.TryLock() {
		return nil
	}
	defer t.mu.Unlock()
	now := time.Now()
	if now.After(t.nextFiles) {
		t.nextFiles = now.Add(filesEvery)
		if err := t.lookAtFiles(ctx, s); err != nil {
			return s.explainFile(err)
		}
	}
	if t.slot == 0 && now.After(t.nextSlots) {
		t.slot, t.nextSlots = 1, now.Add(slotsEvery)
	}
	if t.slot == 0 {
		return nil
	}
	return s.explainFile(t.lookAtSlots(ctx, s))
}

func (t *tidy) lookAtFiles(ctx context.Context, s *Store) error {
	numbers, err := s.files.Numbers()
	if err != nil {
		return err
	}
	for _, n := range numbers {
		wanted := func() (is bool, err error) {
			err = s.read(ctx, func(q *reader) error {
				q.bodyOf.bindInt(1, n)
				is = false
				return q.bodyOf.each(func() { is = !q.bodyOf.null(0) })
			})
			return is, err
		}
		if is, err := wanted(); err != nil {
			return err
		} else if is {
			continue
		}
		if _, err := s.files.Sweep(n, wanted); err != nil {
			s.log.Warn("a payload that no kubbi leads to is not removed", "file", s.path, "error", err)
		}
	}
	return nil
}

// lookAtSlots looks beside the writer, and once more under the lock before a slot
// is overwritten.
func (t *tidy) lookAtSlots(ctx context.Context, s *Store) error {
	used, next, err := s.slots.Scan(t.slot, slotsOnce)
	if err != nil {
		return err
	}
	var loose []body.Used
	err = s.read(ctx, func(q *reader) error {
		loose = nil
		for _, u := range used {
			q.slotOf.bindInt(1, u.Number)
			slot, err := q.slotOf.one()
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
				wanted, err := tx.wants(u)
				if err == nil && !wanted {
					err = s.slots.Clear(u.Slot, u.Number)
				}
				if err != nil {
					return err
				}
			}
			if next == 0 && !s.slots.Taken() {
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
