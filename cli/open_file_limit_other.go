//go:build !unix

package cli

import "math"

// openFiles is how many files and connections this process may have open: here
// the memory is what bounds them.
func openFiles() int { return math.MaxInt }
