package disk

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Free is how many bytes this user can still write to the file system of a folder.
func Free(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("ask for the free space of %s: %w", dir, err)
	}
	return freeBytes(&st), nil
}

// freeBytes counts in fragments, as the kernel does. Bsize is how much is best read at once:
// on some FUSE file systems, such as Docker Desktop's shared folders, it is much larger.
func freeBytes(st *unix.Statfs_t) int64 { return int64(st.Bavail) * int64(st.Frsize) }

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
