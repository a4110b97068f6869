//go:build unix

package files

import (
	"io/fs"
	"os"
	"syscall"
)

// nonblock keeps the opening of a pipe from waiting for its other end.
const nonblock = syscall.O_NONBLOCK

// links is how many names a file has.
func links(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Nlink)
	}
	return 1
}

// native gives a path as this system has it.
func native(path string) (string, bool) { return path, true }

// wholeName refuses nothing: a name here is the one that a folder lists.
func wholeName(*os.Root, string) error { return nil }

// invalidName is never so: every name may exist.
func invalidName(error) bool { return false }
