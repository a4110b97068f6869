//go:build !linux

package files

import "os"

// flush does nothing: the sync in the end writes all.
func flush(*os.File, int64, int64) {}
