package disk

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Sync makes the bytes of a file durable, and its size if the bytes need it. It does not
// sync the file's times, which saves the file system a write to its journal.
func Sync(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("sync %s: %w", f.Name(), err)
		}
	}
}

// WriteBehind starts to write n bytes of a file to the disk, beginning at an offset, and
// waits until the bytes before the offset are written. So the sync of a large file has
// little left to do, and other syncs wait less for it. That sync also reports the errors.
func WriteBehind(f *os.File, from, n int64) {
	fd := int(f.Fd())
	_ = unix.SyncFileRange(fd, from, n, unix.SYNC_FILE_RANGE_WRITE)
	if from > 0 { // a length of 0 would stand for the whole file
		_ = unix.SyncFileRange(fd, 0, from, unix.SYNC_FILE_RANGE_WAIT_BEFORE)
	}
}
