package flock

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// region is the byte that is locked. On Windows other processes can't read or write a
// locked byte, so this one is far behind the end of every file.
func region() *windows.Overlapped { return &windows.Overlapped{OffsetHigh: 1 << 30} }

// Try locks the file, or returns ErrLocked at once.
func Try(f *os.File) error {
	err := lock(f, windows.LOCKFILE_FAIL_IMMEDIATELY)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrLocked
	}
	return err
}

// Block waits until it has locked the file. The wait can't be cancelled.
func Block(f *os.File) error { return lock(f, 0) }

func lock(f *os.File, flags uint32) error {
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|flags, 0, 1, 0, region())
}

// Unlock ends the lock.
func Unlock(f *os.File) error {
	return windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, region())
}
