package sqlite

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// How much room the files keep for themselves, so that a full disk stops creates
// and nothing else: the log is written over, and a checkpoint finds its pages in the
// data base already. A log that slow readers have made longer is cut to logBytes by
// SQLite.
//
// Free pages are made when the store is idle, and after creates where the disk is
// tight. While it is not, creates take them and make the file longer, which costs
// less; the disk is looked at often enough to see it fill up.
const (
	logBytes   = 16 << 20
	logSlack   = 1 << 20 // a log that is this much longer is cut when the store is idle
	cacheSize  = -4000   // KiB
	keepPages  = 512     // free ones
	growPages  = 1024    // are made at once
	mostPages  = 2048    // that may stay free
	cutPages   = 256     // are given back at once
	tightBytes = 1 << 30
	lookAt     = 250 * time.Millisecond
	cutAfter   = 20 // looks: so long must pages be free before they are given back
	cutPause   = 10 * time.Millisecond
)

// room keeps free pages in the data base, and gives back what is more.
type room struct {
	timer *time.Timer
	armed bool
	space *space
	busy  bool  // there was a transaction since the last look
	tight bool  // the disk was at the last look
	free  int64 // pages, after the last transaction
	least int64 // that were free since the count of looks began
	looks int
	cut   int64 // pages that are still to be given back
	long  bool  // the log has been made as long as it is to be
}

func newRoom(s *space) room {
	t := time.NewTimer(time.Hour)
	t.Stop()
	r := room{timer: t, space: s}
	r.set(lookAt) // not at once: a command that stores one kubbi needs none of it
	return r
}

// open makes room at once where the disk is tight; else there is time.
func (r *room) open(w *writer, full bool) error {
	if r.tight = !r.space.has(tightBytes); full {
		return w.stretchLog(shortLog)
	}
	if r.tight && r.space.has(2*(logBytes+spareBytes)) {
		r.long = true
		return w.stretch()
	}
	return nil
}

// look follows the number of free pages after a transaction.
func (r *room) look(w *writer) {
	n, err := w.tx.freePages.one()
	if err != nil {
		return
	}
	r.free = n
	r.least = min(r.least, n)
	r.busy = true
	switch {
	case r.tight && n < keepPages && w.tx.growing:
		r.set(0)
	case !r.armed:
		r.looks, r.least = 0, n
		r.set(lookAt)
	}
}

func (r *room) set(d time.Duration) {
	r.armed = true
	r.timer.Reset(d)
}

// tend makes room, or gives back pages that were free for long.
func (r *room) tend(w *writer) {
	idle := !r.busy
	r.busy, r.armed = false, false
	var err error
	if r.cut > 0 {
		err = w.withLock(w.cutFree)
	} else {
		err = r.decide(w, idle)
	}
	switch {
	case err != nil:
		r.cut = 0
		w.log.Warn("room in the store is not kept", "file", w.path, "error", explain(w.path, err))
		r.set(lookAt)
	case r.cut > 0:
		r.set(cutPause)
	case !idle || r.free > mostPages:
		r.set(lookAt)
	}
}

// decide looks at the disk, and at how many pages were free for long.
func (r *room) decide(w *writer, idle bool) error {
	r.tight = !r.space.has(tightBytes)
	if !r.long && r.space.has(2*(logBytes+spareBytes)) {
		r.long = true
		if err := w.withLock(w.stretch); err != nil {
			return err
		}
	}
	if r.looks++; r.looks >= cutAfter {
		if r.least > mostPages {
			r.cut = r.least - growPages
		}
		r.looks, r.least = 0, r.free
	}
	switch {
	case r.free < keepPages && (idle || r.tight) && r.space.has(2*growPages*pageSize):
		return w.withLock(w.growFree)
	case idle && r.cut == 0:
		return w.withLock(w.settle)
	}
	return nil
}

// settle empties the log into the data base. Where the log is too long, it begins
// the log anew, since only then SQLite cuts it.
func (w *writer) settle() error {
	if err := w.checkpoint(); err != nil {
		return err
	}
	if info, err := os.Stat(w.path + logEnding); err != nil || info.Size() <= logBytes+logSlack {
		return nil // a log that can't be looked at stays as it is
	}
	return w.alone(w.tx.touch)
}

// growFree adds free pages, which stand in the data base file when it returns.
func (w *writer) growFree() error {
	t := &w.tx
	if n, err := t.freePages.one(); err != nil || n >= keepPages {
		w.room.free = n
		return err
	}
	t.inflate.bindInt(1, growPages*(pageSize-8))
	for _, s := range []*stmt{t.inflate, t.deflate} {
		if err := w.alone(s); err != nil {
			return err
		}
	}
	n, err := t.freePages.one()
	w.room.free = n
	return errors.Join(err, w.checkpoint())
}

// cutFree gives some pages back; the last checkpoint makes the file shorter.
func (w *writer) cutFree() error {
	r := &w.room
	if err := w.alone(w.tx.cut); err != nil {
		return err
	}
	n, err := w.tx.freePages.one()
	if err != nil {
		return err
	}
	r.free, r.least = n, min(r.least, n)
	r.cut = min(r.cut-cutPages, n-growPages)
	if r.cut <= 0 {
		return w.checkpoint()
	}
	return nil
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

// stretch makes the log long, and the spare file.
func (w *writer) stretch() error {
	if err := w.stretchLog(logBytes); err != nil {
		return err
	}
	if err := makeSpare(w.path); err != nil {
		return err
	}
	return w.c.exec(fmt.Sprintf("PRAGMA wal_autocheckpoint=%d", checkpointPages))
}

// stretchLog makes the log as long as it is to be, unless it is: by a transaction
// that is too large for the cache, and then taken back. SQLite removes the log when
// the last process closes the store.
func (w *writer) stretchLog(n int64) error {
	if info, err := os.Stat(w.path + logEnding); err == nil && info.Size() >= n {
		return nil
	}
	if err := w.c.exec("PRAGMA cache_size=-100"); err != nil {
		return err
	}
	err := w.tx.begin.run()
	if err == nil {
		w.tx.inflate.bindInt(1, n+100<<10)
		err = w.tx.inflate.run()
		if w.c.inTransaction() {
			err = errors.Join(err, w.tx.rollback.run())
		}
	}
	return errors.Join(err, w.c.exec(fmt.Sprintf("PRAGMA cache_size=%d", cacheSize)))
}
