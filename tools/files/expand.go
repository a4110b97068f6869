package files

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Found is a file that Expand has found.
type Found struct {
	Path string // absolute
	Name string // its name in a package
	Own  string // its own name, after the names of the folders between the path and the file, joined by _
}

func foundAt(path, name string) Found {
	own := strings.ReplaceAll(name, string(filepath.Separator), "_")
	return Found{Path: path, Name: PackageName(own), Own: own}
}

// Expanded is what a path stands for.
type Expanded struct {
	Files  []Found // sorted by path
	One    bool    // the path is a file's, and no folder or pattern
	Hidden int     // files and folders that were left out because they are hidden
}

// maxEntries is how many names are read for one path.
const maxEntries = 10_000

// Expand finds the files that a path stands for: one file, all files in a folder and the
// folders in it, or those that match a pattern of path.Match. It refuses more than limit
// files, and a folder with anything but files and folders in it. Errors are Refusals.
func (r Rules) Expand(name string, limit int) (*Expanded, error) {
	s, err := r.locate(name)
	if err != nil {
		return nil, err
	}
	x := &expansion{rules: r, limit: limit}
	e, err := r.walk(s, false)
	switch {
	case (errors.Is(err, fs.ErrNotExist) || invalidName(err)) && strings.ContainsAny(s.rel, "*?["):
		err = x.glob(s)
		if err == nil && len(x.Files) == 0 {
			*x = expansion{rules: r, limit: limit, alike: true}
			err = x.glob(s)
		}
		if err == nil && len(x.Files) == 0 {
			err = refuse("no file matches %s", quote(name))
		}
	case err != nil:
	case e.info.IsDir():
		err = x.search(e, nil, "")
		switch {
		case err != nil || len(x.Files) > 0:
		case x.Hidden > 0:
			err = refuse("there is no file in %s but what is hidden or looks like a store of keys", quote(name))
		default:
			err = refuse("there is no file in %s: name a folder with files in it, or a file", quote(name))
		}
		e.dir.Close()
	default:
		x.One = true
		x.Files = []Found{foundAt(e.at.path(), nameOf(s, e.at))}
		err = r.regular(e.info)
		e.dir.Close()
	}
	if err != nil {
		return nil, refusalOf(name, err)
	}
	slices.SortFunc(x.Files, func(a, b Found) int { return strings.Compare(a.Path, b.Path) })
	return &x.Expanded, nil
}

// nameOf gives a file's own name: the given one, such as a symbolic link's, or the one
// that was found because it looks like the given one.
func nameOf(given, found location) string {
	name, real := filepath.Base(given.rel), filepath.Base(found.rel)
	if lookOf(name) == lookOf(real) {
		return real
	}
	return name
}

// expansion is an Expand under way.
type expansion struct {
	Expanded
	rules Rules
	limit int
	seen  int  // entries
	alike bool // names that look like a match count as one
}

// list opens the folder of an entry and gives its names, sorted and without hidden ones.
func (x *expansion) list(e *entry) (*os.Root, []fs.DirEntry, error) {
	dir, err := openFolder(e.dir, e.name, e.info)
	if err != nil {
		return nil, nil, err
	}
	f, err := dir.Open(".")
	if err != nil {
		dir.Close()
		return nil, nil, err
	}
	defer f.Close()
	all, err := f.ReadDir(maxEntries - x.seen + 1)
	if err == io.EOF {
		err = nil
	}
	if x.seen += len(all); err == nil && x.seen > maxEntries {
		err = refuse("more than %d names to look at", maxEntries)
	}
	if err != nil {
		dir.Close()
		return nil, nil, err
	}
	slices.SortFunc(all, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	kept := all[:0]
	for _, d := range all {
		s := e.at
		s.rel = filepath.Join(s.rel, d.Name())
		if !x.rules.Hidden && isHidden(d.Name()) || d.IsDir() && x.rules.denied(s) {
			x.Hidden++
			continue
		}
		kept = append(kept, d)
	}
	return dir, kept, nil
}

// child gives an entry of an entry's folder.
func child(dir *os.Root, e *entry, name string) (*entry, error) {
	info, err := dir.Lstat(name)
	if err != nil {
		return nil, err
	}
	s := e.at
	s.rel = filepath.Join(s.rel, name)
	return &entry{dir: dir, name: name, at: s, info: info}, nil
}

// search adds the files in a folder that match a pattern, name by name. Without a pattern it
// adds all files in it and in the folders in it. prefix is the folder's path from where the
// search began.
func (x *expansion) search(e *entry, pattern []string, prefix string) error {
	dir, all, err := x.list(e)
	if err != nil {
		return err
	}
	defer dir.Close()
	for _, d := range all {
		if pattern != nil && !x.matches(pattern[0], d.Name()) {
			continue
		}
		c, err := child(dir, e, d.Name())
		if err != nil {
			return err
		}
		name := filepath.Join(prefix, d.Name())
		switch {
		case pattern == nil && c.info.IsDir():
			err = x.search(c, nil, name)
		case pattern == nil:
			err = x.found(c, name, "in the folder is")
		case len(pattern) > 1 && c.info.IsDir():
			err = x.search(c, pattern[1:], name)
		case len(pattern) == 1 && !c.info.IsDir():
			err = x.found(c, name, "matches, and is")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// matches reports whether a name matches a pattern. As in every shell, only a dot matches a
// dot at the beginning.
func (x *expansion) matches(pattern, name string) bool {
	if strings.HasPrefix(name, ".") && !strings.HasPrefix(pattern, ".") {
		return false
	}
	if x.alike {
		pattern, name = lookOf(pattern), lookOf(name)
	}
	ok, _ := path.Match(pattern, name)
	return ok
}

// found adds a file. name is its path from where the search began, and how words how it was
// found.
func (x *expansion) found(e *entry, name, how string) error {
	if e.info.Mode()&fs.ModeSymlink != 0 {
		return refuse("%s %s a symbolic link, which is not followed from there: give the files by their own paths", quote(name), how)
	}
	if err := x.rules.regular(e.info); err != nil {
		return err
	}
	if len(x.Files) == x.limit {
		return refuse("more than %d files: send fewer, or one archive of them", x.limit)
	}
	x.Files = append(x.Files, foundAt(e.at.path(), name))
	return nil
}

// glob adds the files that match a location's pattern.
func (x *expansion) glob(s location) error {
	pattern := strings.Split(filepath.ToSlash(s.rel), "/")
	fixed := slices.IndexFunc(pattern, func(p string) bool { return strings.ContainsAny(p, "*?[") })
	for _, p := range pattern[fixed:] {
		if _, err := path.Match(p, ""); err != nil {
			return refuse("%s is no pattern", quote(p))
		}
		if strings.Contains(p, "**") {
			return refuse("** is not known: give a folder to send all that is in it")
		}
	}
	s.rel = filepath.Join(append([]string{"."}, pattern[:fixed]...)...)
	base, err := x.rules.walk(s, false)
	if err != nil {
		return err
	}
	defer base.dir.Close()
	if !base.info.IsDir() {
		return nil
	}
	return x.search(base, pattern[fixed:], "")
}
