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
	logHeader   = 32
	frameHeader = 24
	logMagic    = 0x377f0682 // its last bit says how checksums read their words
)

// checkLog looks for damage in the log that SQLite would pass over in silence: it
// reads the log up to the first frame that is not as it was written, and takes
// that for its end.
//
// What a process has not brought to its end stands there as well, at most one
// transaction of it. So where a chain of frames goes on after a broken one, and has
// the ends of two transactions, changes that were acknowledged would be lost. One
// that is lost with the last transaction alone is not seen.
func checkLog(path string) error {
	f, err := os.Open(path + logEnding)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return readOnly(path, err)
	}
	defer f.Close()
	damaged, err := brokenLog(f)
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

// brokenLog reads a log and tells whether it is damaged.
func brokenLog(f io.ReaderAt) (bool, error) {
	header := make([]byte, logHeader)
	if n, err := f.ReadAt(header, 0); err != nil {
		if errors.Is(err, io.EOF) {
			return false, nil // not begun
		}
		return false, fmt.Errorf("after %d bytes: %w", n, err)
	}
	magic := binary.BigEndian.Uint32(header)
	if magic&^1 != logMagic {
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
	broken, ends := false, 0 // of transactions in the chain after a broken frame
	for at := int64(logHeader); ; at += int64(len(frame)) {
		if _, err := f.ReadAt(frame, at); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return false, err
		}
		ours := string(frame[8:16]) == string(header[16:24]) // salts, new for each time it is written over
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
			sum = checksumOf(frame[16:]) // the next one may go on from what this one says
		}
	}
}

// checksum is the running one of a log.
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
