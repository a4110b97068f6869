package sqlite

import (
	"errors"
	"fmt"
	"os"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/body"
)

// openSlots opens the file of slots. It is made once, after the data base: from
// then on its absence is a loss.
func (w *writer) openSlots() (*body.Slots, error) {
	path := slotsPath(w.path)
	var id body.ID
	made := false
	s, _, err := w.c.PrepareTransient("SELECT id, slots FROM beside")
	if err != nil {
		return nil, engine(err)
	}
	there, err := s.Step()
	if there && err == nil {
		there = s.ColumnLen(0) == len(id) && s.ColumnBytes(0, id[:]) == len(id)
		made = s.ColumnInt64(1) != 0
	}
	if ferr := s.Finalize(); err == nil {
		err = ferr
	}
	if err != nil {
		return nil, engine(err)
	}
	if !there {
		return nil, corrupt(w.path, "its table beside is empty")
	}
	if !made {
		if err := body.CreateSlots(path, id); err != nil {
			return nil, err
		}
		if err := w.c.exec("UPDATE beside SET slots = 1"); err != nil {
			return nil, err
		}
	}
	slots, err := body.OpenSlots(path, id)
	if errors.Is(err, body.ErrSlots) {
		if _, serr := os.Stat(path); serr == nil {
			return nil, fmt.Errorf("%s: %w: %s is damaged or another store's: restore both from the same backup", w.path, ErrLost, path)
		}
		return nil, lost(w.path, path, w.path)
	}
	return slots, err
}

// dropUnwritten removes the newest rows whose secret is not in its slot: a loss of
// power came between, and nobody was told that they are stored.
func (w *writer) dropUnwritten() error {
	t := &w.tx
	var rows []body.Used
	if err := t.newest.each(func() {
		rows = append(rows, body.Used{Number: t.newest.int(0), Slot: t.newest.int(1)})
	}); err != nil {
		return err
	}
	var gone []body.Used
	for _, r := range rows {
		_, there, err := w.slots.Read(r.Slot, r.Number)
		if err != nil {
			return err
		}
		if !there {
			gone = append(gone, r)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	if len(gone) > maxGroupOps {
		// No loss of power does that.
		w.log.Error("the secrets of many kubbis are missing: is the file of slots from an older backup?", "file", w.path, "kubbis", len(gone))
		return nil
	}
	if err := t.begin.run(); err != nil {
		return err
	}
	t.reset()
	err := t.dropRows(gone)
	if err == nil {
		err = t.flush()
	}
	if err == nil {
		err = t.commit.run()
	}
	if err != nil && w.c.inTransaction() {
		err = errors.Join(err, t.rollback.run())
	}
	if err == nil {
		w.log.Warn("kubbis that were not acknowledged before a loss of power are removed", "file", w.path, "kubbis", len(gone))
	}
	return err
}

func (t *tx) dropRows(gone []body.Used) error {
	for _, g := range gone {
		var r row
		if err := r.find(t.byNumber, store.Number(g.Number)); err != nil {
			return err
		}
		if err := t.dropRow(g.Number); err != nil {
			return err
		}
		d := total{n: -1}
		t.totals.add(masterKeyUses, r.masterKey, d)
		if r.Status == store.Active {
			d.active, d.loose = -1, -b2i(!r.quota)
		}
		t.totals.add(ownersKubbis, r.owner, d)
		t.totals.add(wholeStore, "", total{active: d.active, bytes: -r.size})
	}
	return nil
}
