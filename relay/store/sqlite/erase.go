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

// eraseWithin is how soon an overwritten slot is on the disk.
const eraseWithin = 300 * time.Millisecond

// eraser overwrites the slots of wiped kubbis:
//  1. A transaction that wipes lists their slots in the table wiped.
//  2. After its commit the slots are overwritten, still under the lock.
//  3. A sync puts that on the disk: beside the next commit, or when the timer fires.
//  4. The next transaction drops the list.
//
// If a process ends before that, the next Open or Sweep adopts the list.
type eraser struct {
	timer    *time.Timer
	listed   int64   // the list of this transaction; 0: none
	unsynced []int64 // lists whose slots are overwritten
	syncing  int     // how many of them the running sync is for
	synced   []int64 // lists to drop
	dropping int     // how many of them this transaction drops
}

func newEraser() eraser {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return eraser{timer: t}
}

// list writes the list of this transaction, and drops those that are synced.
func (e *eraser) list(t *tx) error {
	e.listed, e.dropping = 0, 0
	for _, seq := range e.synced {
		if err := t.exec("DELETE FROM wiped WHERE seq = ?", seq); err != nil {
			return err
		}
	}
	e.dropping = len(e.synced)
	if len(t.wiped) == 0 {
		return nil
	}
	b := make([]byte, 0, 16*len(t.wiped))
	for _, u := range t.wiped {
		b = binary.BigEndian.AppendUint64(b, uint64(u.Slot))
		b = binary.BigEndian.AppendUint64(b, uint64(u.Number))
	}
	// Random: if a number was used again, the process that had it before could drop it.
	e.listed = rand.Int64()
	return t.exec("INSERT INTO wiped (seq, slots) VALUES (?, ?)", e.listed, b)
}

// begin starts a sync beside the commit, if there is something to sync. end waits for
// it.
func (e *eraser) begin(w *writer) chan error {
	e.syncing = len(e.unsynced)
	if e.syncing == 0 && !w.slots.Allocated() {
		return nil
	}
	synced := make(chan error, 1)
	go func() { synced <- w.slots.Sync() }()
	return synced
}

func (e *eraser) end(synced chan error) error {
	if synced == nil {
		return nil
	}
	err := <-synced
	if err == nil {
		e.done()
	}
	return err
}

func (e *eraser) done() {
	e.synced = append(e.synced, e.unsynced[:e.syncing]...)
	e.unsynced = e.unsynced[:copy(e.unsynced, e.unsynced[e.syncing:])]
	e.syncing = 0
}

// overwrite overwrites the slots that a committed transaction has listed.
func (e *eraser) overwrite(w *writer, group []*op, errs []error) {
	t := &w.tx
	e.synced = e.synced[:copy(e.synced, e.synced[e.dropping:])]
	e.dropping = 0
	now := false // the sync does not wait for the timer
	for i, o := range group {
		now = now || o.erases && errs[i] == nil
	}
	if len(t.wiped) == 0 && !now {
		return
	}
	var err error
	for _, u := range t.wiped {
		if err = w.slots.Clear(u.Slot, u.Number); err != nil {
			break
		}
	}
	if err == nil {
		if e.listed != 0 {
			e.unsynced = append(e.unsynced, e.listed)
		}
		if !now {
			e.timer.Reset(eraseWithin)
		} else {
			e.syncing = len(e.unsynced)
			if err = w.slots.Sync(); err == nil {
				e.done()
			}
		}
	}
	if err != nil {
		// They are still listed: a sweep tries again.
		w.log.Error("secrets of ended kubbis are not overwritten", "file", w.path, "error", err)
		for i, o := range group {
			if o.erases && errs[i] == nil {
				errs[i] = fmt.Errorf("%s: %w: the kubbi has ended, but its secret can't be overwritten: check the disk: %w", w.path, store.ErrUnavailable, err)
			}
		}
	}
	w.removeFiles(t.bodies)
}

// sync is what the timer does, when no transaction came in time.
func (e *eraser) sync(w *writer) {
	e.syncing = len(e.unsynced)
	if err := w.slots.Sync(); err != nil {
		w.log.Error("overwritten secrets of ended kubbis are not on the disk yet", "file", w.path, "error", err)
		e.timer.Reset(eraseWithin)
		return
	}
	e.done()
}

// adopt overwrites the slots that an ended process has left listed. It runs under the
// file lock, so that no other process is about to do so.
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
	w.slots.Touch() // the process that overwrote them may not have synced
	e.unsynced = append(e.unsynced, seqs...)
	e.timer.Reset(eraseWithin)
	return nil
}

const slotOf = "SELECT slot FROM kubbi WHERE number = ?"

// clearUnused overwrites a slot, unless it is that of a row.
func (t *tx) clearUnused(u body.Used) error {
	slot, err := t.number(slotOf, u.Number)
	if err != nil || slot == u.Slot {
		return err
	}
	return t.slots.Clear(u.Slot, u.Number)
}
