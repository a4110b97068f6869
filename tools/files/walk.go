package files

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxLinks is how many symbolic links may be on the way to a file.
const maxLinks = 40

// entry is a name that was found in an open folder.
type entry struct {
	dir  *os.Root
	name string   // ".": the allowed folder itself
	at   location // without symbolic links
	info fs.FileInfo
}

// walk goes to a location name by name. It follows symbolic links itself, and only to what
// the rules allow. With mkdir it makes missing folders.
func (r Rules) walk(s location, mkdir bool) (*entry, error) {
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

// step is walk up to the first symbolic link. It then gives no entry but the link's target,
// from the allowed folder. A missing name that looks like an existing one counts as a link
// to it, so that all rules hold for the name that was found.
func step(s location, mkdir bool) (_ *entry, target string, err error) {
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
		instead := func(target string) string { // the location with another name
			return filepath.Join(filepath.Join(names[:i]...), target, filepath.Join(names[i+1:]...))
		}
		info, err := dir.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) && name != "." {
			like, err := lookalike(dir, name)
			if err != nil {
				return nil, "", err
			}
			if like != "" {
				return nil, instead(like), nil
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
			return nil, instead(link), nil
		}
		if i == len(names)-1 {
			return &entry{dir: dir, name: name, at: s, info: info}, "", nil
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

// openFolder opens a folder that was seen before. It refuses another one in its place.
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
	Info fs.FileInfo // of the open file
}

// OpenFound opens a file that Expand has found. Its path may hold any character. Errors are
// Refusals.
func (r Rules) OpenFound(found Found) (*File, error) {
	s, err := r.locateParsed(found.Path, found.Path)
	if err != nil {
		return nil, err
	}
	e, err := r.walk(s, false)
	if err != nil {
		return nil, refusalOf(found.Path, err)
	}
	defer e.dir.Close()
	f, err := r.openRegular(e)
	if err != nil {
		return nil, refusalOf(found.Path, err)
	}
	return f, nil
}

// openRegular opens an entry. If a pipe was put in its place, it does not wait for the
// other end.
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
	return &File{File: f, Info: info}, nil
}

// regular refuses everything but an ordinary file with one name. A second name may be
// outside the allowed folders.
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
