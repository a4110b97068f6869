package sqlite

import (
	"context"
	"encoding/binary"
)

const tableLeaf = 0x0d // the first byte of a page of rows

// leftovers gives the unused space of a page of rows if there is something in
// it. secure_delete overwrites a row where it stands, but when SQLite packs a
// page anew, after the rows beside it have gone, the places where rows stood
// before become unused space as they are.
func leftovers(page []byte) []byte {
	if len(page) != pageSize || page[0] != tableLeaf {
		return nil
	}
	const header = 8
	rows := int(binary.BigEndian.Uint16(page[3:]))
	content := int(binary.BigEndian.Uint16(page[5:]))
	start := header + 2*rows
	if content < start || content > pageSize {
		return nil
	}
	for i := header; i < start; i += 2 {
		if at := int(binary.BigEndian.Uint16(page[i:])); at < content || at >= pageSize {
			return nil
		}
	}
	// Each row that has gone leaves its place in the page at the start of the
	// space: a number, of which there is nothing to hide.
	for i := start; i < content; i += 2 {
		if page[i] >= pageSize>>8 {
			return page[start:content]
		}
	}
	return nil
}

// clearLeftovers overwrites what the pages written since the last time hold
// beside their rows.
func (w *writer) clearLeftovers() error {
	if w.c.log == nil || len(w.c.log.stale) == 0 {
		return nil
	}
	pages := w.c.log.stale
	w.c.log.stale = map[uint32]bool{}
	errs := make([]error, 1)
	o := &op{ctx: context.Background(), do: func(t *tx) error {
		for page := range pages {
			if err := t.clearPage(page); err != nil {
				return err
			}
		}
		return nil
	}}
	err := w.transact([]*op{o}, errs)
	if err == nil {
		err = errs[0]
	}
	if err != nil {
		for page := range pages {
			w.c.log.stale[page] = true
		}
	}
	return err
}

func (t *tx) clearPage(n uint32) error {
	if err := t.getPage.args(0); err != nil {
		return err
	}
	t.getPage.bindInt(1, int64(n))
	ok, err := t.getPage.step()
	if err != nil || !ok {
		return err
	}
	page := t.getPage.bytes(0)
	t.getPage.reset()
	left := leftovers(page)
	if left == nil {
		return nil
	}
	clear(left)
	if err := t.putPage.args(len(page)); err != nil {
		return err
	}
	t.putPage.bindBytes(1, page)
	t.putPage.bindInt(2, int64(n))
	return t.putPage.run()
}
