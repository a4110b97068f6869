package tools

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// lock locks a file for as long as it is open.
func lock(f *os.File) error {
	// A byte far behind the end, so that the file can still be read.
	at := &windows.Overlapped{OffsetHigh: 1 << 30}
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return errLocked
	}
	return err
}
