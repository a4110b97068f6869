package files

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// At begins a batch for a path that a user has named. A folder that is there, and
// a path that ends with a separator, are a folder, as for Into. Any other path
// becomes the file, where one is written, and a new folder with them where several
// are; which of the two need not be known before Commit. One file that has a name,
// as Named says, goes into a new folder too, unless the path looks like a file's: it
// has a dot in its last name, or ends with that very name. Folders above it are made
// if they are missing.
func At(path string, overwrite bool) (*Batch, error) {
	if path == "" {
		return nil, refuse("the path is empty")
	}
	info, err := os.Stat(path)
	if err == nil && info.IsDir() || os.IsPathSeparator(path[len(path)-1]) {
		return Into(path, overwrite)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, explain(path, err)
	}
	name := filepath.Base(path)
	if name == "." || name == ".." {
		return nil, refuse("%s does not exist", quote(path))
	}
	parent := strings.TrimSuffix(path, name)
	if parent == "" {
		parent = "."
	}
	b, err := Into(parent, overwrite)
	if err != nil {
		return nil, err
	}
	b.as, b.path = name, filepath.Clean(parent)
	return b, nil
}

// places says where what is staged goes, and makes the folder for several files
// in the place of one.
func (b *Batch) places() error {
	if b.as == "" {
		return nil
	}
	if len(b.staged) == 1 && b.isFile(b.staged[0].Name) {
		b.staged[0].put(b, b.as)
		return nil
	}
	if err := b.dir.Mkdir(b.as, 0o700); err != nil {
		return explain(b.file(b.as), err)
	}
	b.made = true
	for i := range b.staged {
		b.staged[i].put(b, filepath.Join(b.as, b.staged[i].Name))
	}
	return nil
}

// Named says that the files have names of their own, as those of a package do.
func (b *Batch) Named() { b.named = true }

// isFile reports whether the path of At is that of the one file, which is called
// name.
func (b *Batch) isFile(name string) bool {
	if !b.named || b.as == name || strings.Contains(b.as, ".") {
		return true
	}
	_, err := b.dir.Lstat(b.as) // it is to be replaced
	return err == nil
}

// unmake takes away the folder that places made. It is empty.
func (b *Batch) unmake() error {
	if !b.made {
		return nil
	}
	b.made = false
	return b.dir.Remove(b.as)
}

// put sets where a file goes.
func (s *staged) put(b *Batch, to string) { s.to, s.Path = to, b.file(to) }
