//go:build unix

package body

import (
	"errors"
	"os"
	"time"

	"kubbi-mcp/internal/flock"
)

// young is how long a file without a lock is left alone: it may have been made
// right now, and be locked next.
const young = 2 * time.Second

// hold locks a file that is being written.
func hold(f *os.File) error { return flock.Try(f) }

// abandoned opens a file that nobody is writing any more, and locks it; it is nil
// for another one.
func abandoned(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	err = flock.Try(f)
	if err == nil {
		var info os.FileInfo
		if info, err = f.Stat(); err == nil {
			if age := time.Since(info.ModTime()); age < 0 || age >= young {
				return f, nil
			}
		}
	}
	f.Close()
	if errors.Is(err, flock.ErrLocked) {
		err = nil
	}
	return nil, err
}

// removeOpen removes a file while it is locked.
func removeOpen(f *os.File) (bool, error) {
	err := os.Remove(f.Name())
	return err == nil, errors.Join(err, f.Close())
}
