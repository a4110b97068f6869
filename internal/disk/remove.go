package disk

import (
	"errors"
	"os"
	"path/filepath"
)

// Since Go 1.26 os.Root.Remove and os.RemoveAll delete with POSIX semantics. A
// Windows file system without these semantics should answer with one of three codes;
// then Go uses the older call. Some file systems, and Wine 8, answer
// ERROR_INVALID_FUNCTION ("Incorrect function") instead, and nothing is removed.

// Remove removes a file or an empty folder of a root. Its errors are those of
// os.Root.Remove.
func Remove(root *os.Root, name string) error {
	err := root.Remove(name)
	if unsupported(err) {
		return removeOlder(root, name)
	}
	return err
}

// RemoveAll removes a path and everything in it, as os.RemoveAll does.
func RemoveAll(path string) error {
	err := os.RemoveAll(path)
	if !unsupported(err) {
		return err
	}
	path = filepath.Clean(path)
	parent, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(removeTree(parent, filepath.Base(path)), parent.Close())
}

// removeTree removes a name and what is under it. A link is removed, not followed.
func removeTree(root *os.Root, name string) error {
	info, err := root.Lstat(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		if err := removeContent(root, name); err != nil {
			return err
		}
	}
	if err := Remove(root, name); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// removeContent empties a folder.
func removeContent(root *os.Root, name string) error {
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
		if err := removeTree(dir, n); err != nil {
			return err
		}
	}
	return nil
}
