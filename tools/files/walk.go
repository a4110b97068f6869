package files

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxLinks is how many symbolic links may stand on the way to a file.
const maxLinks = 40

// entry is a name in an open folder, as it was found there.
type entry struct {
	dir  *os.Root
	name string // ".": the allowed folder itself
	spot spot   // with no symbolic link in it
	info fs.FileInfo
}

func (e *entry) close() { e.dir.Close() }

// walk goes to a spot name by name, following symbolic links by hand and only to
// what the rules allow. Where make is set, folders that are missing are made.
func (r Rules) walk(s spot, mkdir bool) (*entry, error) {
	for links := 0; ; links++ {
		if links > maxLinks {
			return nil, refuse("too many symbolic links")
		}
		e, target, err := step(s, mkdir)
		if e != nil || err != nil {
			return e, err
		}
		if filepath.IsAbs(target) || !filepath.IsLocal(target) {
			return nil, refuse("a symbolic link leads out of the allowed folder. %s", r.Allowed())
		}
		s.rel = target
		if err := r.checkHidden(s); err != nil {
			return nil, err
		}
	}
}

// step walks to a spot. At a symbolic link it gives where that leads from the
// allowed folder, in place of an entry; and so it does where a name is not there
// and another one looks like it.
func step(s spot, mkdir bool) (_ *entry, target string, err error) {
	dir, err := os.OpenRoot(s.folder.real)
	if err != nil {
		return nil, "", err
	}
	defer func() {
		if err != nil || target != "" {
			dir.Close()
		}
	}()
	names := strings.Split(s.rel, string(filepath.Separator))
	for i, name := range names {
		info, err := dir.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) && name != "." {
			// As with a symbolic link, the way begins anew, so that all rules hold
			// for the name that was found.
			like, err := similar(dir, name)
			if err != nil {
				return nil, "", err
			}
			if like != "" {
				return nil, filepath.Join(filepath.Join(names[:i]...), like, filepath.Join(names[i+1:]...)), nil
			}
		}
		if mkdir && os.IsNotExist(err) {
			if err = dir.Mkdir(name, 0o700); err == nil || os.IsExist(err) {
				info, err = dir.Lstat(name)
			}
		}
		if err == nil {
			err = wholeName(dir, name)
		}
		if err != nil {
			return nil, "", err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			link, err := dir.Readlink(name)
			if err != nil {
				return nil, "", err
			}
			if filepath.IsAbs(link) {
				return nil, link, nil
			}
			return nil, filepath.Join(filepath.Join(names[:i]...), link, filepath.Join(names[i+1:]...)), nil
		}
		if i == len(names)-1 {
			return &entry{dir: dir, name: name, spot: s, info: info}, "", nil
		}
		if !info.IsDir() {
			return nil, "", refuse("%s is not a folder", quote(filepath.Join(names[:i+1]...)))
		}
		sub, err := openFolder(dir, name, info)
		if err != nil {
			return nil, "", err
		}
		dir.Close()
		dir = sub
	}
	panic("unreachable: a path has at least one name")
}

// openFolder opens a folder that was seen before, and no other that has taken
// its place.
func openFolder(dir *os.Root, name string, seen fs.FileInfo) (*os.Root, error) {
	sub, err := dir.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	info, err := sub.Stat(".")
	if err == nil && !os.SameFile(info, seen) {
		err = refuse("%s changed while it was being opened", quote(name))
	}
	if err != nil {
		sub.Close()
		return nil, err
	}
	return sub, nil
}

// File is a regular file that is open for reading.
type File struct {
	*os.File
	Path string      // absolute
	Info fs.FileInfo // of the open file
}

// Open opens a regular file for reading. Errors are Refusals.
func (r Rules) Open(path string) (*File, error) {
	s, err := r.locate(path)
	if err != nil {
		return nil, err
	}
	return r.open(s, path)
}

// OpenFound is Open for what Expand has found, whose path may have characters that
// nobody would write. The rules are those of Open.
func (r Rules) OpenFound(found Found) (*File, error) {
	s, err := r.place(found.Path, found.Path)
	if err != nil {
		return nil, err
	}
	return r.open(s, found.Path)
}

func (r Rules) open(s spot, path string) (*File, error) {
	e, err := r.walk(s, false)
	if err != nil {
		return nil, explain(path, err)
	}
	defer e.close()
	f, err := r.openRegular(e)
	if err != nil {
		return nil, explain(path, err)
	}
	return f, nil
}

// openRegular opens an entry, and never waits for what is at the other end of a
// pipe that was put in its place.
func (r Rules) openRegular(e *entry) (*File, error) {
	if err := r.regular(e.info); err != nil {
		return nil, err
	}
	f, err := e.dir.OpenFile(e.name, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !os.SameFile(info, e.info):
		err = refuse("%s changed while it was being opened", quote(e.name))
	default:
		if err = r.regular(info); err == nil {
			err = onDisk(f, r.HardLinks)
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &File{File: f, Path: e.spot.path(), Info: info}, nil
}

// regular refuses what is not an ordinary file with one name. A second name may
// be outside the allowed folder, and the file then somebody else's business.
func (r Rules) regular(info fs.FileInfo) error {
	switch {
	case info.IsDir():
		return refuse("%s is a folder", quote(info.Name()))
	case !info.Mode().IsRegular():
		return refuse("%s is no regular file, but a device, a pipe or a socket", quote(info.Name()))
	case !r.HardLinks && links(info) > 1:
		return secondName(info.Name())
	}
	return nil
}

func secondName(name string) error {
	return refuse("%s has a second name (it is a hard link), which may be outside the allowed folders: make a copy and give that", quote(name))
}
