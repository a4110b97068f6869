package sqlite

import (
	"context"
	"log/slog"
	"time"
)

const (
	// scrubEvery is the least time between two checkpoints for wiping's sake;
	// with scrubRetry it keeps what Store promises: gone within a second.
	scrubEvery = 300 * time.Millisecond
	scrubRetry = 20 * time.Millisecond // doubled with each failure up to
	scrubWait  = 200 * time.Millisecond
	scrubSoon  = 20 * time.Millisecond
	scrubLast  = time.Second // at most for the one at Close
)

// scrub rids the write-ahead log of wiped payloads. secure_delete overwrites
// them in the data base, but the log still holds the pages as they were, and
// keeps them until they happen to be overwritten; a TRUNCATE checkpoint empties
// it. It belongs to the writer's goroutine.
type scrub struct {
	logger  *slog.Logger
	timer   *time.Timer
	pending bool // the timer runs
	wanted  bool
	ran     time.Time
	retry   time.Duration // to wait after the next failure; 0: the last run did not fail
}

func newScrub(logger *slog.Logger, wanted bool) scrub {
	s := scrub{logger: logger, timer: time.NewTimer(scrubSoon), pending: wanted, wanted: wanted}
	if !wanted {
		s.timer.Stop()
	}
	return s
}

// want notes that the log holds something wiped.
func (s *scrub) want() { s.wanted = true }

// soon starts the timer if there is a reason to.
func (s *scrub) soon(w *writer) {
	if !s.wanted || s.pending {
		return
	}
	s.pending = true
	s.timer.Reset(max(scrubSoon, scrubEvery-time.Since(s.ran)))
}

// run empties the log, or tries again a little later if a reader of this or
// another process is still at an older state.
func (s *scrub) run(w *writer) {
	s.pending = false
	s.ran = time.Now()
	if err := w.checkpoint(); err != nil {
		if s.retry == 0 {
			s.retry = scrubRetry
			s.logger.Debug("wiped payloads stay in the write-ahead log for now", "file", w.path, "error", err)
		}
		s.pending = true
		s.timer.Reset(s.retry)
		s.retry = min(2*s.retry, scrubWait)
		return
	}
	s.retry = 0
	s.wanted = false
}

// last is run at the end. A reader that stays longer leaves the log to the
// next process that opens or closes the store.
func (s *scrub) last(w *writer) {
	s.timer.Stop()
	for end := time.Now().Add(scrubLast); w.checkpoint() != nil && time.Now().Before(end); {
		time.Sleep(scrubRetry)
	}
}

// checkpoint moves the log into the data base and truncates it to nothing.
func (w *writer) checkpoint() error {
	ctx, cancel := context.WithTimeout(context.Background(), scrubLast)
	defer cancel()
	if err := w.lock.acquire(ctx); err != nil {
		return busy(w.path, err)
	}
	err := explain(w.path, w.c.checkpoint())
	if rerr := w.lock.release(); err == nil {
		err = rerr
	}
	return err
}
