//go:build unix

package cli

import (
	"math"

	"golang.org/x/sys/unix"
)

// openFileLimit is how many files and connections this process may open. Go has raised the
// soft limit to the hard limit.
func openFileLimit() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxInt
	}
	return int(min(uint64(limit.Cur), math.MaxInt))
}
