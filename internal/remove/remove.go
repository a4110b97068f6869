// Package remove removes files and folders, also where a Windows file system
// lacks the call that Go's os package uses for it.
//
// Since Go 1.26 os.Root.Remove and os.RemoveAll delete with POSIX semantics.
// File systems that don't know them should say so with one of three codes, on
// which Go falls back to the older call. Some, and Wine 8, answer
// ERROR_INVALID_FUNCTION ("Incorrect function") instead, and nothing is removed.
package remove

import (
	"errors"
	"os"
	"path/filepath"
)

// In removes a file or an empty folder of a root. Its errors are those of
// os.Root.Remove.
func In(root *os.Root, name string) error {
	err := root.Remove(name)
	if unsupported(err) {
		return older(root, name)
	}
	return err
}

// All removes a path and all that is in it, as os.RemoveAll does.
func All(path string) error {
	err := os.RemoveAll(path)
	if !unsupported(err) {
		return err
	}
	path = filepath.Clean(path)
	parent, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(tree(parent, filepath.Base(path)), parent.Close())
}

// tree removes a name and what is under it. A link is removed, not followed.
func tree(root *os.Root, name string) error {
	info, err := root.Lstat(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		if err := content(root, name); err != nil {
			return err
		}
	}
	if err := In(root, name); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// content empties a folder.
func content(root *os.Root, name string) error {
	dir, err := root.OpenRoot(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	names, err := f.Readdirnames(-1)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	for _, n := range names {
		if err := tree(dir, n); err != nil {
			return err
		}
	}
	return nil
}
