package files

import (
	"bytes"
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

// Batch writes files into one folder: all of them, each whole, or none. Until
// Commit they have no names, or temporary ones where the system has no other way;
// they can be read by their owner alone. Close must be called, and takes away what
// was not committed.
type Batch struct {
	dir       *os.Root
	path      string
	id        string // in the names of its temporary files
	as        string // what it becomes in dir, as At says; "": the files go into dir
	named     bool   // the files have names of their own
	made      bool   // that is a folder, made by Commit
	overwrite bool
	guarded   bool   // names that CheckGuarded refuses are not written
	cure      string // what that error says to do
	noUnnamed bool   // as on a system that has no files without a name, for tests
	staged    []staged
}

type staged struct {
	Saved
	file *os.File // without a name; nil: it has that of temp
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

// Into begins a batch in an allowed folder, which is made if it is missing.
// Where overwrite is set, files that are there already are replaced. Errors are
// Refusals.
func (r Rules) Into(path string, overwrite bool) (*Batch, error) {
	s, err := r.locate(path)
	if err != nil {
		return nil, err
	}
	for _, name := range strings.FieldsFunc(s.rel, isSeparator) {
		if filename.IsDevice(name) {
			return nil, refuse("%s: %s is the name of a device on Windows", quote(path), quote(name))
		}
	}
	e, err := r.walk(s, true)
	if err != nil {
		return nil, explain(path, err)
	}
	defer e.close()
	if !e.info.IsDir() {
		return nil, refuse("%s is a file, and no folder to write into", quote(path))
	}
	dir, err := openFolder(e.dir, e.name, e.info)
	if err != nil {
		return nil, explain(path, err)
	}
	return &Batch{dir: dir, path: e.spot.path(), id: newID(), overwrite: overwrite, guarded: !r.Hidden, cure: CureServer + "."}, nil
}

// Into begins a batch in any folder, which is made if it is missing, for a user
// who has named it.
func Into(path string, overwrite bool) (*Batch, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, explain(path, err)
	}
	dir, err := os.OpenRoot(path)
	if err != nil {
		return nil, explain(path, err)
	}
	return &Batch{dir: dir, path: path, id: newID(), overwrite: overwrite}, nil
}

// Guard has the batch refuse the names that CheckGuarded refuses, and say cure. A
// batch of Rules does so from the beginning, unless they allow what is hidden.
func (b *Batch) Guard(cure string) { b.guarded, b.cure = true, cure }

// CheckSafe refuses names that are guarded. A path that the user has given to the
// one file is not.
func (b *Batch) CheckSafe(names []string) error {
	if !b.guarded || b.as != "" && len(names) == 1 && b.isFile(names[0]) {
		return nil
	}
	for _, name := range names {
		if err := CheckGuarded(name, b.cure); err != nil {
			return err
		}
	}
	return nil
}

// Check finds out whether files of these names can be written, before anything
// is spent on them. Where again is set, it was tried before, and what is there
// may be the outcome; Commit knows.
func (b *Batch) Check(names []string, again bool) error {
	if err := CheckNames(names); err != nil {
		return err
	}
	if err := b.CheckSafe(names); err != nil {
		return err
	}
	places := names
	if b.as != "" {
		places = []string{b.as}
	}
	for _, name := range places {
		info, err := b.dir.Lstat(name)
		if err == nil {
			err = wholeName(b.dir, name)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return explain(b.file(name), err)
		case info.IsDir():
			return refuse("%s is a folder", quote(b.file(name)))
		case !info.Mode().IsRegular() && info.Mode()&fs.ModeSymlink == 0:
			return refuse("%s is no regular file, and is not replaced", quote(b.file(name)))
		case b.as != "" && len(names) > 1:
			return refuse("%s is there already and is no folder, and there are %d files to write", quote(b.file(name)), len(names))
		case !b.overwrite && !again:
			return refuse("%s is there already, and is replaced only when overwrite is set", quote(b.file(name)))
		}
	}
	b.sweep()
	temp := b.tempName()
	f, err := b.create(temp)
	if err != nil {
		return explain(b.path, err)
	}
	return errors.Join(f.Close(), disk.Remove(b.dir, temp))
}

func (b *Batch) file(name string) string { return filepath.Join(b.path, name) }

func (b *Batch) create(temp string) (*os.File, error) {
	return b.dir.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

// Stage writes a file. Commit syncs it and gives it its name, so that whoever sends
// the bytes need not wait for the disk.
func (b *Batch) Stage(ctx context.Context, name string, r io.Reader) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if err := b.CheckSafe([]string{name}); err != nil {
		return err
	}
	f, temp, err := b.begin()
	if err != nil {
		return b.failed(name, err)
	}
	sum := sha256.New()
	n, err := fill(f, io.TeeReader(&cancelled{ctx, r}, sum))
	s := staged{temp: temp, to: name, Saved: Saved{
		Name: name, Path: b.file(name), Size: n, SHA256: hex.EncodeToString(sum.Sum(nil)),
	}}
	if temp == "" && err == nil {
		s.file = f
	} else if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		err = b.failed(name, err)
		if temp != "" {
			err = errors.Join(err, disk.Remove(b.dir, temp))
		}
		return err
	}
	b.staged = append(b.staged, s)
	return nil
}

// fill copies r to the end of it, and has the disk begin meanwhile.
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

// failed is an error of writing a file, without the temporary name.
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

// Commit gives every file its name. Without overwrite, a file that is there
// stays, however late it appeared, and then none is named; but one with the same
// content counts as written.
func (b *Batch) Commit() ([]Saved, error) {
	for i := range b.staged {
		if err := b.syncStaged(&b.staged[i]); err != nil {
			return nil, b.failed(b.staged[i].Name, err)
		}
	}
	if err := b.places(); err != nil {
		return nil, err
	}
	var out []Saved
	var named []string // which were not there before
	for i := range b.staged {
		s := &b.staged[i]
		fresh, err := b.name(s)
		if err != nil {
			for _, n := range named {
				err = errors.Join(err, disk.Remove(b.dir, n))
			}
			return nil, errors.Join(err, b.unmake())
		}
		if fresh && (!b.overwrite || b.made) {
			named = append(named, s.to)
		}
		out = append(out, s.Saved)
	}
	b.staged = nil
	return out, b.sync()
}

// syncStaged makes the content of a file last.
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

// name gives one file its name, and reports whether it is new there.
func (b *Batch) name(s *staged) (bool, error) {
	if s.file != nil && !b.overwrite && !b.made {
		err := b.link(s.file, s.to)
		switch {
		case err == nil:
			_ = s.close() // it was synced
			return true, nil
		case errors.Is(err, fs.ErrExist) && b.holds(s):
			_ = s.close()
			return false, nil
		case errors.Is(err, fs.ErrExist):
			return false, isThere(s)
		}
	}
	if err := b.giveTemp(s); err != nil {
		return false, b.failed(s.to, err)
	}
	if b.overwrite {
		if _, err := b.dir.Lstat(s.to); err == nil && !b.made {
			if err := wholeName(b.dir, s.to); err != nil {
				return false, err
			}
		}
		if err := b.dir.Rename(s.temp, s.to); err != nil {
			return false, b.failed(s.to, err)
		}
		return true, nil
	}
	err := b.renameNew(s.temp, s.to)
	if errors.Is(err, fs.ErrExist) && b.holds(s) {
		return false, disk.Remove(b.dir, s.temp)
	}
	if errors.Is(err, fs.ErrExist) {
		return false, isThere(s)
	}
	if err != nil {
		return false, b.failed(s.to, err)
	}
	return true, nil
}

func isThere(s *staged) error {
	return refuse("%s is there already, and is replaced only when overwrite is set", quote(s.Path))
}

// renameNew renames without replacing anything: a link fails where there is a
// file, which a rename does not.
func (b *Batch) renameNew(temp, name string) error {
	err := b.dir.Link(temp, name)
	switch {
	case err == nil:
		return disk.Remove(b.dir, temp)
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

// holds reports whether the file that is in the way is the one to be written.
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
	return err == nil && bytes.Equal([]byte(hex.EncodeToString(sum.Sum(nil))), []byte(s.SHA256))
}

// sync makes the names last. Windows has no such call for a folder.
func (b *Batch) sync() error {
	folders := []string{"."}
	if b.made {
		folders = append(folders, b.as)
	}
	for _, name := range folders {
		dir, err := b.dir.Open(name)
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

// Close takes away what was not committed.
func (b *Batch) Close() error { return errors.Join(b.Unstage(), b.dir.Close()) }

// Unstage takes away what was staged, so that it can be staged again.
func (b *Batch) Unstage() error {
	var err error
	for i := range b.staged {
		s := &b.staged[i]
		err = errors.Join(err, s.close())
		if s.temp == "" {
			continue
		}
		if rerr := disk.Remove(b.dir, s.temp); !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}
	b.staged = nil
	return err
}
