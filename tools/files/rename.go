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

// renameNew renames without replacing anything: a link fails where there is a
// file, which a rename does not.
func (b *Batch) renameNew(temp, name string) error {
	err := b.dir.Link(temp, name)
	switch {
	case err == nil:
		return b.dir.Remove(temp)
	case errors.Is(err, fs.ErrExist):
		return err
	case b.made:
		return lookAndRename(b.dir, temp, name)
	}
	dir, err := b.dir.Open(".") // a file system without links
	if err != nil {
		return err
	}
	defer dir.Close()
	return renameNoReplace(b.dir, dir, temp, name)
}
