package sqlite

import (
	"errors"
	"fmt"
	"os"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/body"
)

// openSlots opens the file of slots. The file is made once, after the data base. If it is
// missing later, it was lost.
func (w *writer) openSlots() (*body.Slots, error) {
	path := slotsPath(w.path)
	var id body.ID
	there, made := false, false
	err := w.tx.rows("SELECT id, slots FROM beside", func(s *stmt) { there, made = s.into(0, id[:]), s.int(1) != 0 })
	if err != nil {
		return nil, err
	}
	if !there {
		return nil, corrupt(w.path, "its table beside is empty")
	}
	if !made {
		if err := body.CreateSlots(path, id); err != nil {
			return nil, err
		}
		if err := w.tx.exec("UPDATE beside SET slots = 1"); err != nil {
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

// dropUnwritten removes those of the newest rows whose secret is not in its slot. The power
// was lost after the write of such a row and before that of its slot, so the create was not
// acknowledged.
func (w *writer) dropUnwritten() error {
	t := &w.tx
	var rows []body.Used
	if err := t.rows("SELECT number, slot FROM (SELECT number, slot FROM kubbi ORDER BY number DESC LIMIT 1024) WHERE slot IS NOT NULL", func(s *stmt) {
		rows = append(rows, body.Used{Number: s.int(0), Slot: s.int(1)})
	}); err != nil {
		return err
	}
	var gone []body.Used
	for _, r := range rows {
		_, there, err := t.slots.Read(r.Slot, r.Number)
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
		// A power loss can't be the reason.
		w.log.Error("the secrets of many kubbis are missing: is the file of slots from an older backup?", "file", w.path, "kubbis", len(gone))
		return nil
	}
	err := t.alone(func() error {
		for _, g := range gone {
			var r row
			if err := r.byNumber(t.conn, store.Number(g.Number)); err != nil {
				return err
			}
			if err := t.remove(r.Number); err != nil {
				return err
			}
			t.totals.count(&r, -1)
		}
		return nil
	})
	if err == nil {
		w.log.Warn("kubbis that were not acknowledged before a loss of power are removed", "file", w.path, "kubbis", len(gone))
	}
	return err
}
