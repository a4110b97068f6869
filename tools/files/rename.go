package files

import (
	"errors"
	"io/fs"
	"os"
)

// lookAndRename is for a file system that has neither links nor a rename that
// replaces nothing. It leaves a moment in which another process could make the
// file.
func lookAndRename(root *os.Root, from, to string) error {
	if _, err := root.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return &fs.PathError{Op: "rename", Path: to, Err: fs.ErrExist}
	}
	return root.Rename(from, to)
}
