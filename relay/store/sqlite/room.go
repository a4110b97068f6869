package sqlite

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"kubbi-mcp/internal/disk"
	"kubbi-mcp/relay/store"
)

// DefaultReserve is Config.Reserve where none is given.
const DefaultReserve = 32 << 20

// space says how much may still be stored.
type space struct {
	dir     string
	reserve int64

	mu    sync.Mutex
	free  int64 // at the time read, less what was allowed since
	read  time.Time
	blind bool // the platform does not tell
}

// spaceAge is how old a look at the disk may be.
const spaceAge = time.Millisecond

// allow is store.ErrFull where n more bytes would leave less than the reserve.
func (s *space) allow(n int64) error {
	if s.reserve <= 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.blind {
		return nil
	}
	if now := time.Now(); now.Sub(s.read) > spaceAge || s.free-n < s.reserve {
		free, err := disk.Free(s.dir)
		if errors.Is(err, errors.ErrUnsupported) {
			s.blind = true
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		}
		s.free, s.read = free, now
	}
	if s.free-n < s.reserve {
		return fmt.Errorf("%s: %w: %s are free and %s are kept in reserve for claims and deletes: make room on the disk of %s, no restart is needed",
			s.dir, store.ErrFull, disk.MiB(s.free), disk.MiB(s.reserve), s.dir)
	}
	s.free -= n
	return nil
}

// has tells whether n bytes are free, those in reserve included.
func (s *space) has(n int64) bool {
	free, err := disk.Free(s.dir)
	return err != nil || free > n
}

// explainFile turns an error of a file beside the data base into one that says
// what is wrong and what to do.
func (s *Store) explainFile(err error) error { return explain(s.path, err) }

// full says how much room there is.
func full(path string, err error) error {
	dir := filepath.Dir(path)
	left := ""
	if free, ferr := disk.Free(dir); ferr == nil {
		left = fmt.Sprintf(" (%s are free)", disk.MiB(free))
	}
	return fmt.Errorf("%s: %w%s: make room on the disk of %s, no restart is needed: %w: %w: %w",
		path, ErrFull, left, dir, store.ErrFull, store.ErrUnavailable, err)
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// noRoom tells whether hardly anything can be written to a folder's disk.
func noRoom(dir string) bool {
	free, err := disk.Free(dir)
	return err == nil && free < 1<<20
}
