//go:build !unix

package files

import "io/fs"

const nonblock = 0

// links can't be told from a FileInfo here.
func links(fs.FileInfo) uint64 { return 1 }
