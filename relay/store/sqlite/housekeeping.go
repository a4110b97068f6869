package sqlite

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// The sizes of the files. The write-ahead log is overwritten and never gets shorter than
// walBytes. If slow readers have made it longer, SQLite cuts it to walBytes.
//
// Free pages are made when the store is idle and, if the disk is almost full, after creates.
// Otherwise creates use up the free pages and then make the file longer, which costs less.
// The free space is read often enough to notice when the disk fills up.
const (
	walBytes        = 16 << 20
	walSlack        = 1 << 20 // a log longer than walBytes by this is cut when the store is idle
	checkpointPages = 2000    // in the log, at which a commit checkpoints
	cacheSize       = -4000   // KiB

	minFreePages = 512
	growPages    = 1024 // made at once
	maxFreePages = 2048
	vacuumPages  = 512 // given back at once; few, so that other calls do not wait long

	tightBytes   = 1 << 30
	tickPause    = 250 * time.Millisecond
	vacuumTicks  = 20 // how many ticks pages must be free before they are given back
	stretchBytes = 2 * (walBytes + spareBytes)
)

const (
	freePages   = "PRAGMA freelist_count"
	checkpoint  = "PRAGMA wal_checkpoint(PASSIVE)"
	fillBallast = "INSERT INTO ballast VALUES (zeroblob(?))"
)

// housekeeper keeps some free pages in the data base, and gives back the pages beyond that.
// It runs in the writer's goroutine.
type housekeeper struct {
	timer     *time.Timer
	armed     bool
	reserve   *reserve
	busy      bool  // there was a transaction since the last tick
	tight     bool  // the disk was almost full at the last tick
	free      int64 // pages, after the last transaction
	least     int64 // the minimum of free since ticks was 0
	ticks     int
	stretched bool // the log has its full length, and there is a spare file
}

func newHousekeeper(r *reserve) housekeeper {
	h := housekeeper{timer: stoppedTimer(), reserve: r}
	h.arm(tickPause) // not at once: a command that stores one kubbi needs none of this
	return h
}

// open prepares for a full disk at once if the disk is almost full.
func (h *housekeeper) open(w *writer, full bool) error {
	if h.tight = !h.reserve.diskHas(tightBytes); full {
		return w.growWAL(shortWAL)
	}
	if h.tight && h.reserve.diskHas(stretchBytes) {
		h.stretched = true
		return w.stretch()
	}
	return nil
}

// after updates the number of free pages after a transaction.
func (h *housekeeper) after(w *writer) {
	n, err := w.tx.number(freePages)
	if err != nil {
		return
	}
	h.free, h.least, h.busy = n, min(h.least, n), true
	switch {
	case h.tight && n < minFreePages && len(w.tx.creates) > 0:
		h.arm(0)
	case !h.armed:
		h.ticks, h.least = 0, n
		h.arm(tickPause)
	}
}

func (h *housekeeper) arm(d time.Duration) {
	h.armed = true
	h.timer.Reset(d)
}

// tick runs when the timer fires. It does at most one piece of work.
func (h *housekeeper) tick(w *writer) {
	idle := !h.busy
	h.busy, h.armed = false, false
	if work := h.work(w, idle); work != nil {
		if err := w.withLock(work); err != nil {
			w.log.Warn("room in the store is not kept", "file", w.path, "error", explain(w.path, err))
			h.busy = true
		}
	}
	if !idle || h.busy || h.free > maxFreePages {
		h.arm(tickPause)
	}
}

// work chooses the next piece of work; nil: there is none.
func (h *housekeeper) work(w *writer, idle bool) func() error {
	h.tight = !h.reserve.diskHas(tightBytes)
	h.ticks++
	switch {
	case !h.stretched && h.reserve.diskHas(stretchBytes):
		h.stretched, h.busy = true, true
		return w.stretch
	case h.free < minFreePages && (idle || h.tight) && h.reserve.diskHas(2*growPages*pageSize):
		return w.growFreePages
	case h.ticks >= vacuumTicks && h.least > maxFreePages:
		h.busy = true
		return w.vacuum
	case h.ticks >= vacuumTicks:
		h.ticks, h.least = 0, h.free
	}
	if idle {
		return w.checkpointAll
	}
	return nil
}

// checkpointAll copies the log into the data base. If the log is too long, it makes a write,
// with which the log starts again from its beginning: SQLite cuts the log only then.
func (w *writer) checkpointAll() error {
	if err := w.tx.exec(checkpoint); err != nil {
		return err
	}
	if info, err := os.Stat(w.path + walEnding); err != nil || info.Size() <= walBytes+walSlack {
		return nil // also if its length can't be read
	}
	return w.alone("UPDATE beside SET slots = slots")
}

// growFreePages adds free pages. They are in the data base file when it returns.
func (w *writer) growFreePages() error {
	t := &w.tx
	n, err := t.number(freePages)
	if w.house.free = n; err != nil || n >= minFreePages {
		return err
	}
	if err := w.alone(fillBallast, growPages*(pageSize-8)); err != nil {
		return err
	}
	if err := w.alone("DELETE FROM ballast"); err != nil {
		return err
	}
	w.house.free, err = t.number(freePages)
	return errors.Join(err, t.exec(checkpoint))
}

// vacuum removes some free pages from the data base. After the last step a checkpoint makes
// the file shorter.
func (w *writer) vacuum() error {
	if err := w.alone(fmt.Sprintf("PRAGMA incremental_vacuum(%d)", vacuumPages)); err != nil {
		return err
	}
	n, err := w.tx.number(freePages)
	w.house.free, w.house.least = n, n
	if err == nil && n <= maxFreePages {
		err = w.tx.exec(checkpoint)
	}
	return err
}

// alone runs a statement in a transaction of its own.
func (w *writer) alone(sql string, args ...any) error {
	return w.tx.alone(func() error { return w.tx.exec(sql, args...) })
}

// stretch makes the log as long as walBytes, and makes the spare file.
func (w *writer) stretch() error {
	if err := w.growWAL(walBytes); err != nil {
		return err
	}
	if err := makeSpare(w.path); err != nil {
		return err
	}
	return w.tx.exec(fmt.Sprintf("PRAGMA wal_autocheckpoint=%d", checkpointPages))
}

// growWAL makes the log at least n bytes long. It begins a transaction that is too large for
// the cache, so that SQLite writes it to the log, and rolls it back.
func (w *writer) growWAL(n int64) error {
	if info, err := os.Stat(w.path + walEnding); err == nil && info.Size() >= n {
		return nil
	}
	if err := w.tx.exec("PRAGMA cache_size=-100"); err != nil {
		return err
	}
	err := w.tx.exec("BEGIN IMMEDIATE")
	if err == nil {
		err = w.tx.exec(fillBallast, n+100<<10)
		if w.tx.inTransaction() {
			err = errors.Join(err, w.tx.exec("ROLLBACK"))
		}
	}
	return errors.Join(err, w.tx.exec(fmt.Sprintf("PRAGMA cache_size=%d", cacheSize)))
}
