package disk

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestFreeCountsFragments has the numbers of a folder that Docker Desktop shares.
func TestFreeCountsFragments(t *testing.T) {
	st := unix.Statfs_t{Bsize: 1 << 20, Frsize: 4 << 10, Bavail: 1000}
	if got := freeBytes(&st); got != 1000*4<<10 {
		t.Errorf("%d bytes are free", got)
	}
}
