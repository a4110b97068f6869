package sqlite

import (
	"context"
	"sync"
	"time"
)

// tidy removes the files of wiped payloads, beside the writer.
type tidy struct {
	numbers chan int64
	gone    sync.WaitGroup

	mu   sync.Mutex
	next time.Time // when the folder is to be looked through again
	slot int64     // where the look through the slots goes on; 0: it is done
}

// lookEvery is how often the folder of the payloads is looked through.
const lookEvery = time.Minute

func (t *tidy) start(s *Store) {
	t.numbers = make(chan int64, 1024)
	t.slot = 1
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

// look looks for what processes that ended have left.
func (t *tidy) look(ctx context.Context, s *Store) error { return nil }
