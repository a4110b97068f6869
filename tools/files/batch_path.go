package files

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// NewBatch begins a batch in any folder, for a user who has named it. The folder is made
// if it is missing.
func NewBatch(folder string, overwrite bool) (*Batch, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, refusalOf(folder, err)
	}
	dir, err := os.OpenRoot(folder)
	if err != nil {
		return nil, refusalOf(folder, err)
	}
	return &Batch{dir: dir, path: folder, id: newID(), overwrite: overwrite}, nil
}

// NewBatchAt begins a batch for a path that a user has named, of a file or a folder. The
// files go into an existing folder, or into one whose path ends with a separator. Any other
// path becomes the file, if one is written, or a new folder with the files, if there are
// several. A package of one file goes into a new folder too, unless
// the path looks like a file's: its last name has a dot or is the file's own. Folders
// above it are made if they are missing.
func NewBatchAt(path string, overwrite bool) (*Batch, error) {
	if path == "" {
		return nil, refuse("the path is empty")
	}
	info, err := os.Stat(path)
	if err == nil && info.IsDir() || os.IsPathSeparator(path[len(path)-1]) {
		return NewBatch(path, overwrite)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, refusalOf(path, err)
	}
	name := filepath.Base(path)
	if name == "." || name == ".." {
		return nil, refuse("%s does not exist", quote(path))
	}
	parent := strings.TrimSuffix(path, name)
	if parent == "" {
		parent = "."
	}
	b, err := NewBatch(parent, overwrite)
	if err != nil {
		return nil, err
	}
	b.newName, b.path = name, filepath.Clean(parent)
	return b, nil
}

// isFile reports whether newName is the name of the one file, which the payload calls
// name.
func (b *Batch) isFile(name string) bool {
	if !b.isPackage || b.newName == name || strings.Contains(b.newName, ".") {
		return true
	}
	_, err := b.dir.Lstat(b.newName) // it is to be replaced
	return err == nil
}

// setPlaces says where each staged file goes, and makes the new folder.
func (b *Batch) setPlaces() error {
	if b.newName == "" {
		return nil
	}
	if len(b.staged) == 1 && b.isFile(b.staged[0].Name) {
		b.staged[0].to, b.staged[0].Path = b.newName, b.file(b.newName)
		return nil
	}
	if err := b.dir.Mkdir(b.newName, 0o700); err != nil {
		return refusalOf(b.file(b.newName), err)
	}
	b.madeFolder = true
	for i := range b.staged {
		s := &b.staged[i]
		s.to = filepath.Join(b.newName, s.Name)
		s.Path = b.file(s.to)
	}
	return nil
}

// removeFolder removes the new folder, which is empty.
func (b *Batch) removeFolder() error {
	if !b.madeFolder {
		return nil
	}
	b.madeFolder = false
	return b.dir.Remove(b.newName)
}
