package sqlite

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/body"
)

// eraseWithin is the time after which an overwritten slot is synced at the latest.
const eraseWithin = 300 * time.Millisecond

// eraser overwrites the slots of wiped kubbis:
//  1. A transaction that wipes lists their slots in the table wiped.
//  2. After its commit the slots are overwritten, still under the lock.
//  3. A sync makes that durable: at the same time as the next commit, or when the timer
//     fires.
//  4. The next transaction deletes the list.
//
// If a process ends before that, the next Open or Sweep overwrites the listed slots.
type eraser struct {
	timer    *time.Timer
	listed   int64   // the list of this transaction; 0: none
	unsynced []int64 // lists whose slots are overwritten
	synced   []int64 // lists whose slots are overwritten on the disk; the next transaction deletes them
}

func newEraser() eraser { return eraser{timer: stoppedTimer()} }

func stoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// list writes the list of this transaction, and deletes the lists that are synced.
func (e *eraser) list(t *tx) error {
	for _, seq := range e.synced {
		if err := t.exec("DELETE FROM wiped WHERE seq = ?", seq); err != nil {
			return err
		}
	}
	e.listed = 0
	if len(t.wiped) == 0 {
		return nil
	}
	b := make([]byte, 0, 16*len(t.wiped))
	for _, u := range t.wiped {
		b = binary.BigEndian.AppendUint64(b, uint64(u.Slot))
		b = binary.BigEndian.AppendUint64(b, uint64(u.Number))
	}
	// The number is random, so that no other process has the same one and deletes the list.
	e.listed = rand.Int64()
	return t.exec("INSERT INTO wiped (seq, slots) VALUES (?, ?)", e.listed, b)
}

// startSync syncs the slots while the transaction is committed, if there is something to sync.
// The function waits for the end of the sync.
func (e *eraser) startSync(slots *body.Slots) (wait func() error) {
	if len(e.unsynced) == 0 && !slots.Allocated() {
		return func() error { return nil }
	}
	synced := make(chan error, 1)
	go func() { synced <- slots.Sync() }()
	return func() error { return <-synced }
}

// committed says that list's transaction is committed, and whether the sync at the same time
// has succeeded.
func (e *eraser) committed(synced bool) {
	e.synced = e.synced[:0]
	if synced {
		e.done()
	}
}

// done says that all overwritten slots are synced.
func (e *eraser) done() {
	e.synced = append(e.synced, e.unsynced...)
	e.unsynced = e.unsynced[:0]
}

// overwrite overwrites the slots that a committed transaction has listed.
func (e *eraser) overwrite(w *writer, group []*op, errs []error) {
	t := &w.tx
	now := false // sync at once, without the timer
	for i, o := range group {
		now = now || o.erases && errs[i] == nil
	}
	if len(t.wiped) == 0 && !now {
		return
	}
	err := t.slots.Clear(t.wiped...)
	if err == nil {
		if e.listed != 0 {
			e.unsynced = append(e.unsynced, e.listed)
		}
		if !now {
			e.timer.Reset(eraseWithin)
		} else if err = t.slots.Sync(); err == nil {
			e.done()
		}
	}
	if err != nil {
		// The slots are still listed, so a sweep will retry.
		w.log.Error("secrets of ended kubbis are not overwritten", "file", w.path, "error", err)
		for i, o := range group {
			if o.erases && errs[i] == nil {
				errs[i] = fmt.Errorf("%s: %w: the kubbi has ended, but its secret can't be overwritten: check the disk: %w", w.path, store.ErrUnavailable, err)
			}
		}
	}
	w.removeFiles(t.bodies)
}

// sync runs when the timer fires, because no transaction came in time.
func (e *eraser) sync(w *writer) {
	if err := w.tx.slots.Sync(); err != nil {
		w.log.Error("overwritten secrets of ended kubbis are not on the disk yet", "file", w.path, "error", err)
		e.timer.Reset(eraseWithin)
		return
	}
	e.done()
}

// adopt overwrites listed slots of a process that has ended. It runs under the file lock, so
// that no running process is about to overwrite them.
func (e *eraser) adopt(w *writer) error {
	t := &w.tx
	var seqs []int64
	var slots []body.Used
	err := t.rows("SELECT seq, slots FROM wiped", func(s *stmt) {
		seq := s.int(0)
		if slices.Contains(e.unsynced, seq) || slices.Contains(e.synced, seq) {
			return
		}
		seqs = append(seqs, seq)
		for b := s.bytes(1); len(b) >= 16; b = b[16:] {
			slots = append(slots, body.Used{Slot: int64(binary.BigEndian.Uint64(b)), Number: int64(binary.BigEndian.Uint64(b[8:]))})
		}
	})
	if err != nil || len(seqs) == 0 {
		return err
	}
	for _, u := range slots {
		if err := t.clearUnused(u); err != nil { // the list may be damaged
			return err
		}
	}
	t.slots.Touch() // another process may have overwritten them without a sync
	e.unsynced = append(e.unsynced, seqs...)
	e.timer.Reset(eraseWithin)
	return nil
}

const slotOf = "SELECT slot FROM kubbi WHERE number = ?"

// clearUnused overwrites a slot, unless a row uses it.
func (t *tx) clearUnused(u body.Used) error {
	slot, err := t.number(slotOf, u.Number)
	if err != nil || slot == u.Slot {
		return err
	}
	return t.slots.Clear(u)
}
