package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// writeBehind gives hints alone: the sync in the end says what went wrong.
func writeBehind(f *os.File, from, n int64) {
	fd := int(f.Fd())
	_ = unix.SyncFileRange(fd, from, n, unix.SYNC_FILE_RANGE_WRITE)
	if from > 0 { // else it would be all of the file
		_ = unix.SyncFileRange(fd, 0, from, unix.SYNC_FILE_RANGE_WAIT_BEFORE)
	}
}
