//go:build !unix

package cli

import "math"

// openFileLimit is how many files and connections this process may open. Here only memory
// limits them.
func openFileLimit() int { return math.MaxInt }
