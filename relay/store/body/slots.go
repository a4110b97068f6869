// Package body keeps what stands beside a data base: a file of slots with the
// secrets of kubbis, and one file for each large sealed payload.
//
// Both are shared by processes. Slots are taken and given back by whoever holds
// the lock that the data base's writers queue up with; they are read by anybody.
// A file of a payload is made by one process, which keeps it locked until the
// payload's row is there, so that nobody takes it for one that was left behind.
package body

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	"kubbi-mcp/internal/disk"
)

// The size of the file, in slots.
const (
	slotBytes  = 8 + secretBytes // the kubbi's number and its secret
	firstSlots = 4 << 10
	mostSlots  = 64 << 10 // that the file grows by at once
	blockSlots = 256
)

const secretBytes = 32

// Secret is what a slot keeps.
type Secret = [secretBytes]byte

// ID names the data base that a file of slots belongs to.
type ID [16]byte

// ErrSlots says that a file of slots is not there, or not the data base's own.
var ErrSlots = errors.New("the file of the kubbis' secrets is missing or damaged")

var magic = []byte("kubbislots 1\n\x00\x00\x00")

// Slots is a flat file of secrets. Slot 0 is its header; a slot of zeros is free.
//
// Begin, Take, Write, Undo, Clear and Shrink are for whoever holds the lock, one
// goroutine at a time; Read and Sync are for anybody.
type Slots struct {
	f    *os.File
	next int64 // where Take looks on
	seen int64 // free ones in this lap through the file

	block   []byte // what Take has read, from slot blockAt
	blockAt int64
	taken   []taken // since Begin
	written bool    // they are in the file
	buf     []byte
	dirty   atomic.Bool // something was written since the last Sync began
}

type taken struct {
	slot   int64
	record [slotBytes]byte
}

// CreateSlots makes the file, durable. One that is there is made anew.
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

// OpenSlots opens the file, which must be that of the data base with the id.
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

// Begin starts a transaction: what other processes have taken since counts.
func (s *Slots) Begin() {
	s.block = s.block[:0]
	s.taken = s.taken[:0]
	s.written = false
}

// Take gives a free slot to a kubbi. Write puts its secret there.
func (s *Slots) Take(number int64, secret *Secret) (int64, error) {
	slot, err := s.free()
	if err != nil {
		return 0, fmt.Errorf("take a slot: %w", err)
	}
	t := taken{slot: slot}
	binary.BigEndian.PutUint64(t.record[:], uint64(number))
	copy(t.record[8:], secret[:])
	s.taken = append(s.taken, t)
	return slot, nil
}

// Untake takes the last Take back.
func (s *Slots) Untake() { s.taken = s.taken[:len(s.taken)-1] }

// free looks for a free slot from next on, round the file, which grows where a
// lap has found less than one in four free.
func (s *Slots) free() (int64, error) {
	for {
		for i := s.next - s.blockAt; i >= 0 && i < int64(len(s.block))/slotBytes; i++ {
			if zero(s.block[i*slotBytes:][:slotBytes]) {
				s.next = s.blockAt + i + 1
				s.seen++
				return s.blockAt + i, nil
			}
		}
		if n := int64(len(s.block)) / slotBytes; n > 0 && s.next >= s.blockAt && s.next < s.blockAt+n {
			s.next = s.blockAt + n
		}
		if err := s.load(); err != nil {
			return 0, err
		}
	}
}

// load reads the block from next on.
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
	// What this transaction has taken is not free, though it may not stand there yet.
	if !s.written {
		for i := range s.taken {
			if at := s.taken[i].slot - s.blockAt; at >= 0 && at < int64(len(s.block))/slotBytes {
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

// grow makes the file longer, by zeros that have their place on the disk, so
// that a later write changes no metadata.
func (s *Slots) grow(size int64) error {
	n := min(max(size, firstSlots), mostSlots)
	if _, err := s.f.WriteAt(make([]byte, n*slotBytes), size*slotBytes); err != nil {
		return errors.Join(err, s.f.Truncate(size*slotBytes))
	}
	return s.f.Sync()
}

// Write puts the secrets of all slots that were taken since Begin into the file.
func (s *Slots) Write() error {
	if len(s.taken) == 0 {
		return nil
	}
	s.written = true
	return s.put(func(t *taken) []byte { return t.record[:] })
}

// Undo takes back what Write did, where the transaction failed.
func (s *Slots) Undo() error {
	if !s.written {
		return nil
	}
	var none [slotBytes]byte
	s.written = false
	err := s.put(func(*taken) []byte { return none[:] })
	s.Begin()
	return err
}

// put writes runs of neighbours at once.
func (s *Slots) put(record func(*taken) []byte) error {
	s.dirty.Store(true)
	for i := 0; i < len(s.taken); {
		first := s.taken[i].slot
		s.buf = s.buf[:0]
		for ; i < len(s.taken) && s.taken[i].slot == first+int64(len(s.buf)/slotBytes); i++ {
			s.buf = append(s.buf, record(&s.taken[i])...)
		}
		if _, err := s.f.WriteAt(s.buf, first*slotBytes); err != nil {
			return err
		}
	}
	return nil
}

// Taken tells whether slots were taken since Begin.
func (s *Slots) Taken() bool { return len(s.taken) > 0 }

// Read gives the secret of a kubbi. It is not there where the slot is another's,
// or wiped.
func (s *Slots) Read(slot, number int64) (secret Secret, there bool, err error) {
	if slot < 1 || slot > 1<<40 {
		return secret, false, nil
	}
	var b [slotBytes]byte
	switch _, err := s.f.ReadAt(b[:], slot*slotBytes); {
	case errors.Is(err, io.EOF):
		return secret, false, nil
	case err != nil:
		return secret, false, fmt.Errorf("read slot: %w", err)
	}
	copy(secret[:], b[8:])
	if binary.BigEndian.Uint64(b[:]) != uint64(number) || zero(secret[:]) {
		return Secret{}, false, nil
	}
	return secret, true, nil
}

// ReadTaken is Read within the transaction that may have taken the slot.
func (s *Slots) ReadTaken(slot, number int64) (Secret, bool, error) {
	if !s.written {
		for i := range s.taken {
			if t := &s.taken[i]; t.slot == slot && binary.BigEndian.Uint64(t.record[:]) == uint64(number) {
				return Secret(t.record[8:]), true, nil
			}
		}
	}
	return s.Read(slot, number)
}

// Clear overwrites the slot of a kubbi with zeros, if it is still its own. Sync
// makes that durable.
func (s *Slots) Clear(slot, number int64) error {
	if slot < 1 || slot > 1<<40 {
		return nil
	}
	var b [slotBytes]byte
	switch _, err := s.f.ReadAt(b[:], slot*slotBytes); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return fmt.Errorf("clear slot: %w", err)
	}
	if binary.BigEndian.Uint64(b[:]) != uint64(number) {
		return nil
	}
	return s.overwrite(slot)
}

func (s *Slots) overwrite(slot int64) error {
	s.dirty.Store(true)
	var none [slotBytes]byte
	if _, err := s.f.WriteAt(none[:], slot*slotBytes); err != nil {
		return fmt.Errorf("clear slot: %w", err)
	}
	return nil
}

// Touch has the next Sync reach the disk, whoever has written.
func (s *Slots) Touch() { s.dirty.Store(true) }

// Sync makes all writes durable. It does nothing where there were none.
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

var zeros [blockSlots * slotBytes]byte

func zero(b []byte) bool { return bytes.Equal(b, zeros[:len(b)]) }
