//go:build linux || darwin || freebsd

package cli

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// freeBytes is how much the file system of a folder still takes from this user.
func freeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("ask for the free space of %s: %w", dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
