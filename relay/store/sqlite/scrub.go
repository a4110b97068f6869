package sqlite

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"time"
)

const (
	// scrubEvery is the least time between two rounds: two of them, and a few
	// retries, keep what Store promises, gone within a second.
	scrubEvery = 300 * time.Millisecond
	scrubSoon  = 20 * time.Millisecond
	scrubRetry = 20 * time.Millisecond // doubled with each failure up to
	scrubWait  = 200 * time.Millisecond
	scrubLast  = time.Second // at most for the one at Close

	// hotFrames in a log that was begun since the last round tell that many
	// more are to come.
	hotFrames = 256
)

// scrub rids the write-ahead log of wiped payloads. secure_delete overwrites
// them in the data base, but the log still holds the pages as they were until
// it happens to be written over. So, soon after a wipe, all of the log is moved
// into the data base and its file is emptied.
//
// Under load that would be slow: a log that grows costs the file system half as
// much again for each commit as one that is written over. So then the file is
// only cut off where the log ends, and another round follows. By that one the
// log has been written over from its start, and what is beyond is cut off: what
// was wiped before a round is gone after the next.
//
// It belongs to the writer's goroutine.
type scrub struct {
	logger  *slog.Logger
	timer   *time.Timer
	pending bool // the timer runs
	rounds  int  // still to go, unless one empties the log
	ran     time.Time
	header  []byte        // of the log at the last round
	retry   time.Duration // to wait after the next failure; 0: the last run did not fail
}

// newScrub starts with a round if the log has been left with something in it.
func newScrub(logger *slog.Logger, left bool) scrub {
	s := scrub{logger: logger, timer: time.NewTimer(scrubSoon)}
	if left {
		s.pending = true
		s.want()
	} else {
		s.timer.Stop()
	}
	return s
}

// want notes that the log holds something wiped.
func (s *scrub) want() { s.rounds = 2 }

// soon starts the timer if there is a reason to.
func (s *scrub) soon() {
	if s.rounds == 0 || s.pending {
		return
	}
	s.pending = true
	s.timer.Reset(max(scrubSoon, scrubEvery-time.Since(s.ran)))
}

// run is a round. It is tried again a little later if a reader of this or
// another process is still at an older state.
func (s *scrub) run(w *writer) {
	s.pending = false
	s.ran = time.Now()
	clean, err := w.scrubLog(false)
	if err != nil {
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
	s.rounds--
	if clean {
		s.rounds = 0
	}
	s.soon()
}

// last is run at the end. A reader that stays longer leaves the log to the
// next process that opens or closes the store.
func (s *scrub) last(w *writer) {
	s.timer.Stop()
	for end := time.Now().Add(scrubLast); ; time.Sleep(scrubRetry) {
		if _, err := w.scrubLog(true); err == nil || time.Now().After(end) {
			return
		}
	}
}

// scrubLog moves the log into the data base. It is clean if it is empty after
// that, else another round is needed.
func (w *writer) scrubLog(empty bool) (clean bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), scrubLast)
	defer cancel()
	if err := w.lock.acquire(ctx); err != nil {
		return false, busy(w.path, err)
	}
	defer func() {
		if rerr := w.lock.release(); err == nil {
			err = rerr
		}
		err = explain(w.path, err)
	}()
	// It writes, for which a full disk may have room only after the rest.
	cleared := w.clearLeftovers()
	defer func() {
		if err == nil && cleared != nil {
			clean, err = false, cleared
		}
	}()
	if !empty {
		before, err := w.logHeader()
		if err != nil {
			return false, err
		}
		frames, err := w.c.checkpoint(false)
		if err != nil {
			return false, err
		}
		hot := frames >= hotFrames && !bytes.Equal(before, w.scrub.header)
		w.scrub.header = before
		if hot {
			if cut, err := w.cutLog(before, frames); cut || err != nil {
				return false, err
			}
		}
	}
	_, err = w.c.checkpoint(true)
	return err == nil, err
}

const (
	logHeaderBytes   = 32 // of the log
	frameHeaderBytes = 24 // of each page in it
)

// cutLog cuts the log's file off after so many frames, all of which are in the
// data base. The header must be what it was before: it changes when the log is
// begun anew, which a program that does not know the file lock may have done.
// Nor may a frame of the same log follow, which it may have added.
func (w *writer) cutLog(header []byte, frames int64) (cut bool, err error) {
	if err := w.tx.begin.run(); err != nil { // keeps such programs out
		return false, err
	}
	defer func() {
		if rerr := w.tx.rollback.run(); err == nil {
			err = rerr
		}
	}()
	now, err := w.logHeader()
	if err != nil || !bytes.Equal(header, now) {
		return false, err
	}
	end := logHeaderBytes + frames*(frameHeaderBytes+pageSize)
	f, err := os.Open(w.path + logEnding)
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	// The same eight bytes, its salt, are in a log's header and each frame's.
	salt := make([]byte, 8)
	if _, err := f.ReadAt(salt, end+8); err == nil && bytes.Equal(salt, header[16:24]) {
		return false, nil
	}
	if info.Size() > end {
		return true, os.Truncate(w.path+logEnding, end)
	}
	return true, nil
}

const logEnding = "-wal"

// logHeader is what identifies a run of the log from its start.
func (w *writer) logHeader() ([]byte, error) {
	f, err := os.Open(w.path + logEnding)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, logHeaderBytes)
	if _, err := io.ReadFull(f, b); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	return b, nil
}
