package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"kubbi-mcp/internal/disk"
	"kubbi-mcp/relay/store"
)

// A disk without a free byte must not stop claims, deletes and expiry. Four measures ensure
// that:
//   - Creates leave the storage reserve free. But other programs may still fill the disk.
//   - The write-ahead log gets its full length at the start and is then overwritten (see
//     growWAL).
//   - The data base keeps free pages, so that a checkpoint need not make the file longer (see
//     housekeeper).
//   - SQLite removes the log when the last process closes the store. If the disk is full at
//     the next Open, removing the spare file makes room for a short log.

// reserveBytes are what creates leave free of the disk for claims, deletes and expiry.
const reserveBytes = 32 << 20

// reserve keeps reserveBytes free.
type reserve struct {
	dir string

	mu     sync.Mutex
	free   int64 // at the time of read, minus what was allowed since
	read   time.Time
	unread bool // the platform can't tell the free space
}

// freeAge is how old the last reading of the free space may be.
const freeAge = time.Millisecond

// allow returns store.ErrFull if less than the reserve would be free after n more bytes.
func (r *reserve) allow(n int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.unread {
		return nil
	}
	if now := time.Now(); now.Sub(r.read) > freeAge || r.free-n < reserveBytes {
		free, err := disk.Free(r.dir)
		if errors.Is(err, errors.ErrUnsupported) {
			r.unread = true
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		}
		r.free, r.read = free, now
	}
	if r.free-n < reserveBytes {
		return fmt.Errorf("%s: %w: %s are free and %s are kept in reserve for claims and deletes: make room on the disk of %s, no restart is needed",
			r.dir, store.ErrFull, disk.MiB(r.free), disk.MiB(reserveBytes), r.dir)
	}
	r.free -= n
	return nil
}

// diskHas reports whether n bytes are free, including those of the reserve.
func (r *reserve) diskHas(n int64) bool {
	free, err := disk.Free(r.dir)
	return err != nil || free > n
}

const (
	spareBytes = 4 << 20
	// The length of a log that fits into the space of the spare file, and the number of its
	// pages at which a commit checkpoints it.
	shortWAL             = 3 << 20
	shortCheckpointPages = 200
)

func sparePath(path string) string { return sibling(path, ".spare") }

// makeSpare makes the spare file, if it is missing.
func makeSpare(path string) error {
	name := sparePath(path)
	if info, err := os.Stat(name); err == nil && info.Size() >= spareBytes {
		return nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, spareBytes))
	return errors.Join(err, f.Sync(), f.Close())
}

// removeSpare frees the space of the spare file.
func removeSpare(path string) error {
	if err := os.Remove(sparePath(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
