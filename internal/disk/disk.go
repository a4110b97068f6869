// Package disk tells how much room the file system of a folder has left, and
// makes what was written to a file or a folder durable.
package disk

import (
	"fmt"
	"os"
)

// MiB writes a number of bytes for people: "12.3 MiB".
func MiB(n int64) string {
	if n%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// SyncFolder makes the names in a folder durable: files that were made,
// renamed or removed.
func SyncFolder(dir string) error { return syncFolder(dir) }

// Sync makes the bytes of a file durable. Its size and times may be lost where
// they are not needed to read the bytes.
func Sync(f *os.File) error { return sync(f) }

// WriteBehind has the system write n bytes of a file, which were written from that
// place on, to the disk, and waits for those before them. So the sync of a large
// file has little left to do, and others that sync meanwhile wait less.
func WriteBehind(f *os.File, from, n int64) { writeBehind(f, from, n) }
