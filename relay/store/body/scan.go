package body

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Used is a slot that is not free.
type Used struct{ Slot, Number int64 }

// Scan gives the slots that are in use among n, beginning with from, and where
// to go on; 0 is the end.
func (s *Slots) Scan(from, n int64) (used []Used, next int64, err error) {
	from = max(1, from)
	b := make([]byte, n*slotBytes)
	read, err := s.f.ReadAt(b, from*slotBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, fmt.Errorf("scan slots: %w", err)
	}
	got := int64(read) / slotBytes
	for i := range got {
		r := b[i*slotBytes:][:slotBytes]
		if !zero(r) {
			used = append(used, Used{from + i, int64(binary.BigEndian.Uint64(r))})
		}
	}
	if got < n {
		return used, 0, nil
	}
	return used, from + n, nil
}

// Shrink cuts free slots off the end of the file, where they are many.
func (s *Slots) Shrink() error {
	size, err := s.size()
	if err != nil {
		return err
	}
	end := size
	for b := make([]byte, blockSlots*slotBytes); end > firstSlots; end -= blockSlots {
		from := max(firstSlots, end-blockSlots)
		part := b[:(end-from)*slotBytes]
		if _, err := s.f.ReadAt(part, from*slotBytes); err != nil {
			return fmt.Errorf("shrink slots: %w", err)
		}
		if !zero(part) {
			break
		}
	}
	end = max(end, firstSlots)
	if keep := end + end/2; keep < size {
		if err := s.f.Truncate(keep * slotBytes); err != nil {
			return fmt.Errorf("shrink slots: %w", err)
		}
		if s.next > keep {
			s.next, s.seen = 1, 0
		}
		s.block = s.block[:0]
	}
	return nil
}
