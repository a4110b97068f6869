package sqlite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// The layout of a write-ahead log: https://sqlite.org/fileformat2.html#walformat.
const (
	walHeader   = 32
	frameHeader = 24
	walMagic    = 0x377f0682 // the last bit is the byte order of checksums
)

// checkWAL looks for damage in the write-ahead log that SQLite does not report: for SQLite the
// log ends at the first broken frame.
//
// A process that was killed leaves at most one unfinished transaction in the log. So if a
// broken frame is followed by valid frames that complete two transactions, acknowledged
// changes would be lost. Damage in the last transaction is not found.
func checkWAL(path string) error {
	f, err := os.Open(path + walEnding)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return readOnly(path, err)
	}
	defer f.Close()
	damaged, err := brokenWAL(f)
	if err != nil {
		return fmt.Errorf("read %s: %w", f.Name(), err)
	}
	if !damaged {
		return nil
	}
	name := filepath.Base(f.Name())
	return fmt.Errorf("%s: %w (%s is damaged, and holds changes that would be lost): restore both from a backup, or move %s elsewhere to go on without its changes",
		path, ErrCorrupt, name, name)
}

// brokenWAL reads a log and reports whether it is damaged.
func brokenWAL(f io.ReaderAt) (bool, error) {
	header := make([]byte, walHeader)
	if n, err := f.ReadAt(header, 0); err != nil {
		if errors.Is(err, io.EOF) {
			return false, nil // not begun
		}
		return false, fmt.Errorf("after %d bytes: %w", n, err)
	}
	magic := binary.BigEndian.Uint32(header)
	if magic&^1 != walMagic {
		return magic != 0, nil
	}
	var words binary.ByteOrder = binary.LittleEndian
	if magic&1 == 1 {
		words = binary.BigEndian
	}
	size := binary.BigEndian.Uint32(header[8:])
	var sum checksum
	sum.add(words, header[:24])
	if sum != checksumOf(header[24:]) || size < 512 || size > 64<<10 || size&(size-1) != 0 {
		return true, nil
	}
	frame := make([]byte, frameHeader+size)
	broken, ends := false, 0 // ends counts complete transactions after a broken frame
	for at := int64(walHeader); ; at += int64(len(frame)) {
		if _, err := f.ReadAt(frame, at); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return false, err
		}
		ours := string(frame[8:16]) == string(header[16:24]) // salts, new each time the log is written over
		sum.add(words, frame[:8])
		sum.add(words, frame[frameHeader:])
		good := ours && sum == checksumOf(frame[16:])
		switch {
		case good && broken && binary.BigEndian.Uint32(frame[4:]) != 0:
			if ends++; ends == 2 {
				return true, nil
			}
		case !good:
			broken, ends = true, 0
			sum = checksumOf(frame[16:]) // the next frame may continue from the checksum of this one
		}
	}
}

// checksum is the running checksum of a log.
type checksum [2]uint32

func (c *checksum) add(words binary.ByteOrder, b []byte) {
	s0, s1 := c[0], c[1]
	for ; len(b) >= 8; b = b[8:] {
		s0 += words.Uint32(b) + s1
		s1 += words.Uint32(b[4:]) + s0
	}
	c[0], c[1] = s0, s1
}

func checksumOf(b []byte) checksum {
	return checksum{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])}
}
