package files

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"kubbi-mcp/internal/disk"
	"kubbi-mcp/internal/filename"
)

// Batch writes files into one folder: all of them, each whole, or none. Only their owner
// can read them. They have no names, or temporary ones, before Commit. Close must be
// called, and removes what was not committed.
type Batch struct {
	dir        *os.Root
	path       string // of dir
	id         string // in the names of its temporary files
	newName    string // of the file or folder that it makes in dir: see NewBatchAt; "": the files go into dir
	isPackage  bool   // the files have names of their own: see Names
	madeFolder bool   // newName is a folder that Commit made
	overwrite  bool
	guarded    bool   // Names refuses what CheckGuarded refuses
	cure       string // what that error says to do
	noUnnamed  bool   // for tests: as on a system that has no files without a name
	noLinks    bool   // for tests: as on a file system without hard links
	staged     []staged
}

type staged struct {
	Saved
	file *os.File // without a name; nil: its name is temp
	temp string
	to   string // where in dir it goes
}

// Saved is a file that was written.
type Saved struct {
	Name   string
	Path   string // absolute
	Size   int64  // bytes
	SHA256 string // of its content, hexadecimal
}

// NewBatch begins a batch in an allowed folder, which is made if it is missing. With
// overwrite, existing files are replaced. Errors are Refusals.
func (r Rules) NewBatch(folder string, overwrite bool) (*Batch, error) {
	s, err := r.locate(folder)
	if err != nil {
		return nil, err
	}
	for _, name := range strings.FieldsFunc(s.rel, isSeparator) {
		if filename.IsDevice(name) {
			return nil, refuse("%s: %s is the name of a device on Windows", quote(folder), quote(name))
		}
	}
	e, err := r.walk(s, true)
	if err != nil {
		return nil, refusalOf(folder, err)
	}
	defer e.dir.Close()
	if !e.info.IsDir() {
		return nil, refuse("%s is a file, and no folder to write into", quote(folder))
	}
	dir, err := openFolder(e.dir, e.name, e.info)
	if err != nil {
		return nil, refusalOf(folder, err)
	}
	return &Batch{dir: dir, path: e.at.path(), id: newID(), overwrite: overwrite, guarded: !r.Hidden, cure: CureServer + "."}, nil
}

// Guard makes the batch refuse the names that CheckGuarded refuses, with an error that says
// cure. A batch of Rules does so from the beginning, unless they allow hidden names.
func (b *Batch) Guard(cure string) { b.guarded, b.cure = true, cure }

// Names gives the names under which the files of a payload are written, from those that the
// sender has given. It refuses names that can't be saved everywhere, and guarded ones, but
// no path that the user has given to the one file. The files of a package have names of their
// own; a single content has one by its type.
func (b *Batch) Names(names []string, isPackage bool) ([]string, error) {
	names, err := saveNames(names)
	if err != nil {
		return nil, err
	}
	b.isPackage = isPackage
	if !b.guarded || b.newName != "" && len(names) == 1 && b.isFile(names[0]) {
		return names, nil
	}
	for _, name := range names {
		if err := CheckGuarded(name, b.cure); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// Check finds out whether files of these names, which Names has given, can be written. again
// says that the claim is repeated: then existing files may come from the first attempt, which
// Commit finds out.
func (b *Batch) Check(names []string, again bool) error {
	places := names
	if b.newName != "" {
		places = []string{b.newName}
	}
	for _, name := range places {
		info, err := b.dir.Lstat(name)
		if err == nil {
			err = wholeName(b.dir, name)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return refusalOf(b.file(name), err)
		case info.IsDir():
			return refuse("%s is a folder", quote(b.file(name)))
		case !info.Mode().IsRegular() && info.Mode()&fs.ModeSymlink == 0:
			return refuse("%s is no regular file, and is not replaced", quote(b.file(name)))
		case b.newName != "" && len(names) > 1:
			return refuse("%s is there already and is no folder, and there are %d files to write", quote(b.file(name)), len(names))
		case !b.overwrite && !again:
			return isThere(b.file(name))
		}
	}
	b.sweep()
	f, temp, err := b.begin()
	if err != nil {
		return refusalOf(b.path, err)
	}
	return b.discard(&staged{file: f, temp: temp})
}

func (b *Batch) file(name string) string { return filepath.Join(b.path, name) }

// Stage writes a file under a name that Names has given. It does not wait for the disk, which
// would hold up the transfer. Commit waits.
func (b *Batch) Stage(ctx context.Context, name string, r io.Reader) error {
	if err := checkName(name); err != nil {
		return err
	}
	f, temp, err := b.begin()
	if err != nil {
		return b.failed(name, err)
	}
	sum := sha256.New()
	s := staged{file: f, temp: temp, to: name, Saved: Saved{Name: name, Path: b.file(name)}}
	s.Size, err = fill(f, io.TeeReader(&cancelled{ctx, r}, sum))
	s.SHA256 = hex.EncodeToString(sum.Sum(nil))
	if err == nil && temp != "" {
		err = s.close()
	}
	if err != nil {
		return errors.Join(b.failed(name, err), b.discard(&s))
	}
	b.staged = append(b.staged, s)
	return nil
}

// fill copies r to its end, and lets the disk begin to write meanwhile.
func fill(f *os.File, r io.Reader) (int64, error) {
	const piece = 8 << 20
	for size := int64(0); ; {
		n, err := io.CopyN(f, r, piece)
		disk.WriteBehind(f, size, n)
		size += n
		if err == io.EOF {
			return size, nil
		}
		if err != nil {
			return size, err
		}
	}
}

// failed is an error of writing a file. It does not show a temporary name.
func (b *Batch) failed(name string, err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	return fmt.Errorf("write %s: %w", b.file(name), err)
}

// cancelled is a reader that ends with a context.
type cancelled struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancelled) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// Commit gives every file its name. Without overwrite an existing file stays, however
// late it appeared, and then no file gets its name; but one with the same content counts
// as written.
func (b *Batch) Commit() ([]Saved, error) {
	for i := range b.staged {
		if err := b.syncStaged(&b.staged[i]); err != nil {
			return nil, b.failed(b.staged[i].Name, err)
		}
	}
	if err := b.setPlaces(); err != nil {
		return nil, err
	}
	var out []Saved
	var named []string // which did not exist before
	for i := range b.staged {
		s := &b.staged[i]
		fresh, err := b.name(s)
		if err != nil {
			for _, n := range named {
				err = errors.Join(err, disk.Remove(b.dir, n))
			}
			return nil, errors.Join(err, b.removeFolder())
		}
		if fresh && (!b.overwrite || b.madeFolder) {
			named = append(named, s.to)
		}
		out = append(out, s.Saved)
	}
	b.staged = nil
	return out, b.sync()
}

// syncStaged makes the content of a file durable.
func (b *Batch) syncStaged(s *staged) error {
	if s.file != nil {
		return s.file.Sync()
	}
	f, err := b.dir.OpenFile(s.temp, os.O_WRONLY|nonblock, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// name gives a file its name, and reports whether it was not there before.
func (b *Batch) name(s *staged) (fresh bool, err error) {
	if !b.overwrite {
		switch err := b.link(s, s.to); {
		case err == nil:
			return true, b.discard(s)
		case errors.Is(err, fs.ErrExist):
			return false, b.exists(s)
		}
	}
	if err := b.giveTemp(s); err != nil {
		return false, b.failed(s.to, err)
	}
	if b.overwrite {
		if _, err := b.dir.Lstat(s.to); err == nil {
			if err := wholeName(b.dir, s.to); err != nil {
				return false, err
			}
		}
	} else {
		// The file system has no links. An empty file takes the name, so that the
		// rename replaces nothing else.
		f, err := b.create(s.to)
		if errors.Is(err, fs.ErrExist) {
			return false, b.exists(s)
		}
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			return false, b.failed(s.to, err)
		}
	}
	if err := b.dir.Rename(s.temp, s.to); err != nil {
		err = b.failed(s.to, err)
		if !b.overwrite {
			err = errors.Join(err, disk.Remove(b.dir, s.to))
		}
		return false, err
	}
	s.temp = ""
	return true, nil
}

// exists handles a file whose name is taken. That is no error if the existing file has the
// same content.
func (b *Batch) exists(s *staged) error {
	if b.holds(s) {
		return b.discard(s)
	}
	return isThere(s.Path)
}

func isThere(path string) error {
	return refuse("%s is there already, and is replaced only when overwrite is set", quote(path))
}

// holds reports whether the file that has the name has the content to be written.
func (b *Batch) holds(s *staged) bool {
	info, err := b.dir.Lstat(s.to)
	if err != nil || !info.Mode().IsRegular() || info.Size() != s.Size {
		return false
	}
	f, err := b.dir.OpenFile(s.to, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, io.LimitReader(f, s.Size+1))
	return err == nil && hex.EncodeToString(sum.Sum(nil)) == s.SHA256
}

// sync makes the names durable. Windows has no such call for a folder.
func (b *Batch) sync() error {
	folders := []string{"."}
	if b.madeFolder {
		folders = append(folders, b.newName)
	}
	for _, name := range folders {
		dir, err := b.dir.Open(name) // the folder's path may lead elsewhere by now
		if err != nil {
			return err
		}
		err = dir.Sync()
		dir.Close()
		if err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, errors.ErrUnsupported) {
			return fmt.Errorf("sync %s: %w", b.file(name), err)
		}
	}
	return nil
}

// Close removes what was not committed.
func (b *Batch) Close() error { return errors.Join(b.Unstage(), b.dir.Close()) }

// Unstage removes what was staged, so that it can be staged again.
func (b *Batch) Unstage() error {
	var err error
	for i := range b.staged {
		err = errors.Join(err, b.discard(&b.staged[i]))
	}
	b.staged = nil
	return err
}
