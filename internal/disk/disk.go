// Package disk asks the file system for what package os has no call for: free
// space, syncs that cost less, and removals on a Windows file system that lacks
// the call that package os uses.
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

// SyncFolder makes the names in a folder durable: files that were made, renamed
// or removed. Windows does that by itself.
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
