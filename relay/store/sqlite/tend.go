package sqlite

import (
	"os"
	"time"
)

// How much room the files keep for themselves, so that a full disk stops creates
// and nothing else: the log is written over and not cut, and a checkpoint finds
// its pages in the data base already.
const (
	logBytes  = 8 << 20
	keepPages = 512  // free ones that are always there
	growPages = 1024 // are made at once
	mostPages = 2048 // that may stay free
	cutPages  = 256  // are given back at once
	watchFor  = 5 * time.Second
	cutPause  = 10 * time.Millisecond
)

// room keeps free pages in the data base, and gives back what is more.
type room struct {
	timer *time.Timer
	armed bool
	space *space
	free  int64 // pages, after the last transaction
	least int64 // that were free since the timer was set
}

func newRoom(s *space) room {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return room{timer: t, space: s}
}

// look follows the number of free pages after a transaction.
func (r *room) look(w *writer) {
	n, err := w.tx.freePages.one()
	if err != nil {
		return
	}
	r.free = n
	r.least = min(r.least, n)
	switch {
	case r.armed:
	case n > mostPages:
		r.least = n
		r.set(watchFor)
	case n < keepPages && w.tx.growing:
		r.set(0)
	}
}

func (r *room) set(d time.Duration) {
	r.armed = true
	r.timer.Reset(d)
}

// tend makes room, or gives back pages that were free all the time.
func (r *room) tend(w *writer) {
	r.armed = false
	var err error
	switch {
	case r.free < keepPages:
		if !r.space.plenty(2 * growPages * pageSize) {
			r.set(watchFor)
			return
		}
		err = w.withLock(w.growFree)
	case r.least > mostPages:
		r.least -= cutPages
		if err = w.withLock(func() error { return w.alone(w.tx.cut) }); err == nil && r.least > mostPages {
			r.set(cutPause)
			return
		}
		if err == nil {
			err = w.withLock(w.checkpoint) // which cuts the file
		}
	}
	if err != nil {
		w.log.Warn("room in the store is not kept", "file", w.path, "error", explain(w.path, err))
		r.set(watchFor)
	}
}

// growFree adds free pages, which stand in the data base file when it returns.
func (w *writer) growFree() error {
	t := &w.tx
	t.inflate.bindInt(1, growPages*(pageSize-8))
	for _, s := range []*stmt{t.inflate, t.deflate} {
		if err := w.alone(s); err != nil {
			return err
		}
	}
	return w.checkpoint()
}

// checkpoint moves the log into the data base, as far as nobody reads older pages.
func (w *writer) checkpoint() error { return w.tx.checkpoint.run() }

// alone runs a statement in a transaction of its own.
func (w *writer) alone(s *stmt) error {
	t := &w.tx
	if err := t.begin.run(); err != nil {
		return err
	}
	err := s.run()
	if err == nil {
		err = t.commit.run()
	}
	if err != nil && w.c.inTransaction() {
		_ = t.rollback.run()
	}
	return err
}

// stretchLog makes the log as long as it is to be, unless it is: by a transaction
// that is too large for the cache, and then taken back.
func (w *writer) stretchLog() error {
	if info, err := os.Stat(w.path + logEnding); err == nil && info.Size() >= logBytes {
		return nil
	}
	if !w.room.space.plenty(logBytes) {
		return nil
	}
	if err := w.tx.begin.run(); err != nil {
		return err
	}
	w.tx.inflate.bindInt(1, logBytes+4<<20)
	err := w.tx.inflate.run()
	if rerr := w.tx.rollback.run(); err == nil {
		err = rerr
	}
	return err
}
