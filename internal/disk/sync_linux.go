package disk

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Sync makes the bytes of a file durable. Its size and times may be lost where
// they are not needed to read the bytes: the file system then writes no journal
// for the times.
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

// WriteBehind starts to write n bytes of a file, from an offset on, to the disk,
// and waits for those before the offset. So the sync of a large file has little
// left to do, and other syncs wait less for it. Errors show in that sync.
func WriteBehind(f *os.File, from, n int64) {
	fd := int(f.Fd())
	_ = unix.SyncFileRange(fd, from, n, unix.SYNC_FILE_RANGE_WRITE)
	if from > 0 { // a length of 0 would stand for the whole file
		_ = unix.SyncFileRange(fd, 0, from, unix.SYNC_FILE_RANGE_WAIT_BEFORE)
	}
}
