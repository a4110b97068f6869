// Package disk has what package os lacks for files: the free space of a disk, cheaper
// syncs, the sync of a folder, and removals on Windows file systems where those of package
// os fail.
package disk

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
)

// MiB writes a number of bytes for people: "12.3 MiB".
func MiB(n int64) string {
	if n%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// SyncFolder makes changes of the names in a folder durable: files that were created,
// renamed or removed. Windows does that by itself.
func SyncFolder(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	// Some file systems have no such call, and need none.
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return err
	}
	return nil
}
