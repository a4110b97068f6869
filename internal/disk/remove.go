package disk

import (
	"errors"
	"io/fs"
	"os"
	"path"
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

// RemoveAll removes a file or folder and everything in it, as os.RemoveAll does.
func RemoveAll(name string) error {
	err := os.RemoveAll(name)
	if !unsupported(err) {
		return err
	}
	name = filepath.Clean(name)
	parent, err := os.OpenRoot(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(removeTree(parent, filepath.Base(name)), parent.Close())
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
		entries, err := fs.ReadDir(root.FS(), name)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := removeTree(root, path.Join(name, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := Remove(root, name); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
