//go:build unix

package cli

import (
	"math"

	"golang.org/x/sys/unix"
)

// openFiles is how many files and connections this process may have open. Go has
// raised the limit to what the system allows.
func openFiles() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxInt
	}
	return int(min(uint64(limit.Cur), math.MaxInt))
}
