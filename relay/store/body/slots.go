// Package body keeps the files that the SQLite store has beside its data base: a file of
// slots with the secrets of kubbis, and one file for each large sealed payload.
//
// Several processes share them. Any process may read slots; only a process with the file
// lock of the store's writers may allocate or clear them. The process that makes a payload's
// file keeps it locked until the payload's row is committed, so that no sweep removes it.
package body

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"kubbi-mcp/internal/disk"
)

// The size of the file, in slots.
const (
	slotBytes  = 8 + secretBytes // the kubbi's number and its secret
	firstSlots = 4 << 10
	growSlots  = 64 << 10 // the file grows by at most this many at once
	maxSlot    = 1 << 40  // a damaged list may have any number
	blockSlots = 256
)

const secretBytes = 32

// Secret is what a slot keeps.
type Secret = [secretBytes]byte

// ID names the data base that a file of slots belongs to.
type ID [16]byte

// ErrSlots says that a file of slots is missing, or belongs to another data base.
var ErrSlots = errors.New("the file of the kubbis' secrets is missing or damaged")

var magic = []byte("kubbislots 1\n\x00\x00\x00")

// Slots is a flat file of secrets. Slot 0 is its header; a slot of zeros is free.
//
// Begin, Allocate, Write, Undo, Clear and Shrink need the lock, and one goroutine at a
// time; Read and Sync need neither.
type Slots struct {
	f    *os.File
	next int64 // where Allocate continues its search
	seen int64 // free slots found in this round through the file

	block     []byte       // the slots that Allocate has read
	blockAt   int64        // the first of them; at most next
	allocated []allocation // since Begin
	written   bool         // allocated is in the file
	buf       []byte
	dirty     atomic.Bool // a slot was written since the last Sync began
}

type allocation struct {
	slot   int64
	record [slotBytes]byte
}

// CreateSlots makes the file, which is durable when it returns. It replaces an existing file.
func CreateSlots(path string, id ID) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, firstSlots*slotBytes)
	copy(b, magic)
	copy(b[len(magic):], id[:])
	if _, err := f.WriteAt(b, 0); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return disk.SyncFolder(filepath.Dir(path))
}

// OpenSlots opens the file of the data base with that id.
func OpenSlots(path string, id ID) (*Slots, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", path, ErrSlots)
	}
	if err != nil {
		return nil, err
	}
	var header [slotBytes]byte
	if _, err := f.ReadAt(header[:], 0); err != nil && !errors.Is(err, io.EOF) {
		f.Close()
		return nil, err
	}
	if !bytes.HasPrefix(header[:], magic) || [16]byte(header[len(magic):][:16]) != id {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, ErrSlots)
	}
	return &Slots{f: f, next: 1}, nil
}

// Close closes the file.
func (s *Slots) Close() error { return s.f.Close() }

// Begin starts a transaction. Allocate then sees what other processes have allocated.
func (s *Slots) Begin() {
	s.block, s.blockAt = s.block[:0], s.next
	s.allocated = s.allocated[:0]
	s.written = false
}

// Allocate allocates a free slot for a kubbi. Write will write its secret there.
func (s *Slots) Allocate(number int64, secret *Secret) (int64, error) {
	slot, err := s.free()
	if err != nil {
		return 0, fmt.Errorf("allocate a slot: %w", err)
	}
	t := allocation{slot: slot}
	binary.BigEndian.PutUint64(t.record[:], uint64(number))
	copy(t.record[8:], secret[:])
	s.allocated = append(s.allocated, t)
	return slot, nil
}

// Unallocate undoes the last Allocate.
func (s *Slots) Unallocate() { s.allocated = s.allocated[:len(s.allocated)-1] }

// free finds the first free slot from next on. At the end of the file it continues at the
// beginning. If fewer than a quarter of the slots were free in a round, the file grows.
func (s *Slots) free() (int64, error) {
	for {
		end := s.blockAt + int64(len(s.block))/slotBytes
		for s.next < end {
			slot := s.next
			s.next++
			if zero(s.block[(slot-s.blockAt)*slotBytes:][:slotBytes]) {
				s.seen++
				return slot, nil
			}
		}
		if err := s.load(); err != nil {
			return 0, err
		}
	}
}

// load reads the block that starts at next.
func (s *Slots) load() error {
	size, err := s.size()
	if err != nil {
		return err
	}
	if s.next >= size {
		if s.seen < size/4 {
			if err := s.grow(size); err != nil {
				return err
			}
			s.seen = 0
		} else {
			s.next, s.seen = 1, 0
		}
	}
	s.blockAt = s.next
	s.block = append(s.block[:0], make([]byte, blockSlots*slotBytes)...)
	n, err := s.f.ReadAt(s.block, s.blockAt*slotBytes)
	s.block = s.block[:n-n%slotBytes]
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	// Slots of this transaction are not free, even if they are not written yet.
	if !s.written {
		for i := range s.allocated {
			if at := s.allocated[i].slot - s.blockAt; at >= 0 && at < int64(len(s.block))/slotBytes {
				s.block[at*slotBytes] = 1
			}
		}
	}
	return nil
}

func (s *Slots) size() (int64, error) {
	info, err := s.f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size() / slotBytes, nil
}

// grow appends zeros to the file. They are allocated on the disk, so that a later write does
// not change the metadata of the file.
func (s *Slots) grow(size int64) error {
	n := min(max(size, firstSlots), growSlots)
	if _, err := s.f.WriteAt(make([]byte, n*slotBytes), size*slotBytes); err != nil {
		return errors.Join(err, s.f.Truncate(size*slotBytes))
	}
	return s.f.Sync()
}

// Write writes the secrets of all slots that were allocated since Begin.
func (s *Slots) Write() error {
	if len(s.allocated) == 0 {
		return nil
	}
	s.written = true
	return s.put(func(t *allocation) []byte { return t.record[:] })
}

// Undo undoes Write after the transaction has failed.
func (s *Slots) Undo() error {
	if !s.written {
		return nil
	}
	var none [slotBytes]byte
	s.written = false
	err := s.put(func(*allocation) []byte { return none[:] })
	s.Begin()
	return err
}

// put writes all slots of the transaction, adjacent ones in one write.
func (s *Slots) put(record func(*allocation) []byte) error {
	s.dirty.Store(true)
	for i := 0; i < len(s.allocated); {
		first := s.allocated[i].slot
		s.buf = s.buf[:0]
		for ; i < len(s.allocated) && s.allocated[i].slot == first+int64(len(s.buf)/slotBytes); i++ {
			s.buf = append(s.buf, record(&s.allocated[i])...)
		}
		if _, err := s.f.WriteAt(s.buf, first*slotBytes); err != nil {
			return err
		}
	}
	return nil
}

// Allocated reports whether slots were allocated since Begin.
func (s *Slots) Allocated() bool { return len(s.allocated) > 0 }

// slot reads a slot. It gives zeros beyond the end of the file.
func (s *Slots) slot(slot int64) (b [slotBytes]byte, err error) {
	if slot < 1 || slot > maxSlot {
		return b, nil
	}
	if _, err := s.f.ReadAt(b[:], slot*slotBytes); errors.Is(err, io.EOF) {
		return [slotBytes]byte{}, nil
	} else if err != nil {
		return b, fmt.Errorf("read slot: %w", err)
	}
	return b, nil
}

func numberOf(slot []byte) int64 { return int64(binary.BigEndian.Uint64(slot)) }

// Read returns the secret of a kubbi. there is false if the slot is wiped or belongs to
// another kubbi.
func (s *Slots) Read(slot, number int64) (secret Secret, there bool, err error) {
	b, err := s.slot(slot)
	if err != nil || numberOf(b[:]) != number || zero(b[8:]) {
		return Secret{}, false, err
	}
	return Secret(b[8:]), true, nil
}

// ReadAllocated is Read within the transaction that may have allocated the slot.
func (s *Slots) ReadAllocated(slot, number int64) (Secret, bool, error) {
	if !s.written {
		for i := range s.allocated {
			if t := &s.allocated[i]; t.slot == slot && numberOf(t.record[:]) == number {
				return Secret(t.record[8:]), true, nil
			}
		}
	}
	return s.Read(slot, number)
}

// Clear overwrites slots of kubbis with zeros, those that still belong to their kubbis. Sync
// makes that durable. All keys of a kubbi's payload are derived from the secret in its slot,
// so after that nobody can open any copy of the payload.
func (s *Slots) Clear(used ...Used) error {
	used = slices.DeleteFunc(slices.Clone(used), func(u Used) bool { return u.Slot < 1 || u.Slot > maxSlot })
	slices.SortFunc(used, func(a, b Used) int { return cmp.Compare(a.Slot, b.Slot) })
	for len(used) > 0 {
		n := 1
		for n < len(used) && used[n].Slot < used[0].Slot+blockSlots {
			n++
		}
		if err := s.clearBlock(used[:n]); err != nil {
			return fmt.Errorf("clear slots: %w", err)
		}
		used = used[n:]
	}
	return nil
}

// clearBlock clears slots that are close together, in order, with one read and one write.
func (s *Slots) clearBlock(used []Used) error {
	first := used[0].Slot
	s.buf = slices.Grow(s.buf[:0], blockSlots*slotBytes)[:(used[len(used)-1].Slot-first+1)*slotBytes]
	n, err := s.f.ReadAt(s.buf, first*slotBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	b := s.buf[:n-n%slotBytes]
	cleared := false
	for _, u := range used {
		at := int(u.Slot-first) * slotBytes
		if at < len(b) && !zero(b[at:][:slotBytes]) && numberOf(b[at:]) == u.Number {
			clear(b[at:][:slotBytes])
			cleared = true
		}
	}
	if !cleared {
		return nil
	}
	s.dirty.Store(true)
	_, err = s.f.WriteAt(b, first*slotBytes)
	return err
}

// Touch makes the next Sync sync the file even if only another process has written to it.
func (s *Slots) Touch() { s.dirty.Store(true) }

// Sync makes all writes durable. It does nothing if this process has not written.
func (s *Slots) Sync() error {
	if !s.dirty.Swap(false) {
		return nil
	}
	if err := disk.Sync(s.f); err != nil {
		s.dirty.Store(true)
		return err
	}
	return nil
}

// Used is a slot that is not free.
type Used struct{ Slot, Number int64 }

// Scan returns the used slots among the n slots that start at from, and where to continue; 0:
// this was the end.
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
			used = append(used, Used{from + i, numberOf(r)})
		}
	}
	if got < n {
		return used, 0, nil
	}
	return used, from + n, nil
}

// Shrink cuts off free slots at the end of the file, if there are many.
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
		s.block, s.blockAt = s.block[:0], s.next
	}
	return nil
}

var zeros [blockSlots * slotBytes]byte

func zero(b []byte) bool { return bytes.Equal(b, zeros[:len(b)]) }
