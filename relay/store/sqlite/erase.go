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

// eraser overwrites the slots of what is wiped. A transaction that wipes lists
// them in the table wiped; once it is committed they are overwritten, still under
// the lock; once that is synced, with the next transaction or when the timer says
// so, the next transaction drops the list. What a process leaves listed when it
// ends is done by the next Open or Sweep.
type eraser struct {
	timer    *time.Timer
	listed   int64   // this transaction's list; 0: none
	unsynced []int64 // lists whose slots are overwritten
	syncing  int     // how many of them the sync under way is for
	synced   []int64 // lists to be dropped
	dropping int     // how many of them this transaction drops
}

func newEraser() eraser {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return eraser{timer: t}
}

// list writes the list, and drops those that are done with.
func (e *eraser) list(t *tx) error {
	e.listed, e.dropping = 0, 0
	for _, seq := range e.synced {
		t.dropWiped.bindInt(1, seq)
		if err := t.dropWiped.run(); err != nil {
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
	// A number that is used again might be dropped by whoever had it before.
	e.listed = rand.Int64()
	t.putWiped.bindInt(1, e.listed)
	t.putWiped.bindBytes(2, b)
	return t.putWiped.run()
}

// begin starts a sync beside the commit, if there is something to sync.
func (e *eraser) begin(w *writer) chan error {
	e.syncing = len(e.unsynced)
	if e.syncing == 0 && !w.slots.Taken() {
		return nil
	}
	synced := make(chan error, 1)
	go func() { synced <- w.slots.Sync() }()
	return synced
}

// end waits for that sync.
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

// overwrite overwrites the slots of what a committed transaction has wiped.
func (e *eraser) overwrite(w *writer, group []*op, errs []error) {
	t := &w.tx
	e.synced = e.synced[:copy(e.synced, e.synced[e.dropping:])]
	e.dropping = 0
	now := w.erasesNow(group, errs)
	if len(t.wiped) == 0 && !now {
		return
	}
	err := w.clear(t.wiped)
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
	w.remove(t.bodies)
}

func (w *writer) erasesNow(group []*op, errs []error) bool {
	for i, o := range group {
		if o.erases && errs[i] == nil {
			return true
		}
	}
	return false
}

func (w *writer) clear(slots []body.Used) error {
	for _, u := range slots {
		if err := w.slots.Clear(u.Slot, u.Number); err != nil {
			return err
		}
	}
	return nil
}

// sync is for when no transaction came in time.
func (e *eraser) sync(w *writer) {
	e.syncing = len(e.unsynced)
	if err := w.slots.Sync(); err != nil {
		w.log.Error("overwritten secrets of ended kubbis are not on the disk yet", "file", w.path, "error", err)
		e.timer.Reset(eraseWithin)
		return
	}
	e.done()
}

// adopt overwrites what a process that ended has left listed. It runs under the
// file lock, so that nobody else is about to.
func (e *eraser) adopt(w *writer) error {
	t := &w.tx
	var seqs []int64
	var slots []body.Used
	err := t.allWiped.each(func() {
		seq := t.allWiped.int(0)
		if slices.Contains(e.unsynced, seq) || slices.Contains(e.synced, seq) {
			return
		}
		seqs = append(seqs, seq)
		for b := t.allWiped.bytes(1); len(b) >= 16; b = b[16:] {
			slots = append(slots, body.Used{Slot: int64(binary.BigEndian.Uint64(b)), Number: int64(binary.BigEndian.Uint64(b[8:]))})
		}
	})
	if err != nil || len(seqs) == 0 {
		return err
	}
	for _, u := range slots {
		wanted, err := t.wants(u) // the list may be damaged
		if err == nil && !wanted {
			err = w.slots.Clear(u.Slot, u.Number)
		}
		if err != nil {
			return err
		}
	}
	w.slots.Touch() // whoever has overwritten them may not have synced
	e.unsynced = append(e.unsynced, seqs...)
	e.timer.Reset(eraseWithin)
	return nil
}

// wants tells whether a row that is not wiped has the slot.
func (t *tx) wants(u body.Used) (bool, error) {
	t.slotOf.bindInt(1, u.Number)
	slot, err := t.slotOf.one()
	return slot == u.Slot, err
}
