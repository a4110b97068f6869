package files

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"unicode/utf8"

	"kubbi-mcp/internal/filename"
	"kubbi-mcp/internal/untrusted"
)

// Bounds of a path, in bytes.
const (
	maxPath = 4096
	maxName = 255
)

// Folder is an allowed folder.
type Folder struct {
	Path string // as it was given, made absolute
	real string // without symbolic links
}

// Real is the folder's path without symbolic links.
func (f Folder) Real() string { return f.real }

// NewFolder makes a Folder of an existing folder, given by its absolute path.
func NewFolder(path string) (Folder, error) {
	if !filepath.IsAbs(path) {
		return Folder{}, fmt.Errorf("%s is not an absolute path", quote(path))
	}
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return Folder{}, err
	}
	info, err := os.Stat(resolved)
	if err != nil {
		return Folder{}, err
	}
	if !info.IsDir() {
		return Folder{}, fmt.Errorf("%s is not a folder", quote(path))
	}
	return Folder{Path: filepath.Clean(path), real: resolved}, nil
}

// Rules say what may be read and written. The zero value allows nothing.
type Rules struct {
	Folders   []Folder
	Hidden    bool     // also names that start with a dot or look like a store of keys
	HardLinks bool     // also files with a second name, for a user who names the folder
	Cure      string   // for errors: how a first folder can be allowed; "": as over stdio
	Missing   []string // for errors: folders that the user allows, and that did not exist at the start
	Denied    []string // absolute paths of folders that are refused in any case, such as that of our own keys
}

// location is a path under an allowed folder.
type location struct {
	folder Folder // the outermost allowed one
	rel    string // from there, clean; ".": the folder itself
}

// path is the absolute path, without symbolic links above the folder.
func (s location) path() string { return filepath.Join(s.folder.real, s.rel) }

// locate finds the allowed folder that a path is in, by its text alone.
func (r Rules) locate(path string) (location, error) {
	parsed, err := ParsePath(path)
	if err != nil {
		return location{}, refuse("%s: %v", quote(path), err)
	}
	if err := r.checkText(parsed); err != nil {
		return location{}, err
	}
	return r.locateParsed(path, parsed)
}

// locateParsed is locate for a path that ParsePath has read, or that was found on the
// disk and may hold any character. given is for errors.
func (r Rules) locateParsed(given, path string) (location, error) {
	if len(r.Folders) == 0 {
		return location{}, refuse("%s: no folder is allowed. %s", quote(given), r.Allowed())
	}
	path, ok := native(path)
	if !ok {
		return location{}, refuse("%s names no drive, and is outside the allowed folders. %s", quote(given), r.Allowed())
	}
	if !filepath.IsAbs(path) {
		if len(r.Folders) > 1 {
			return location{}, refuse("%s is a relative path, and several folders are allowed: give an absolute one. %s", quote(given), r.Allowed())
		}
		path = filepath.Join(r.Folders[0].Path, path)
	}
	path = filepath.Clean(path)
	// Take the outermost folder: one inside another allowed one can be replaced by a
	// link by anybody who may write there.
	var found *location
	for _, f := range r.Folders {
		for _, base := range []string{f.Path, f.real} {
			if rel, ok := relIn(base, path); ok && (found == nil || len(f.real) < len(found.folder.real)) {
				found = &location{folder: f, rel: rel}
			}
		}
	}
	if found == nil {
		found = r.lookalikeFolder(path)
	}
	if found == nil {
		return location{}, refuse("%s is outside the allowed folders. %s", quote(given), r.Allowed())
	}
	return *found, r.checkHidden(*found)
}

// checkText refuses characters that no honest path has, and names that mean something
// else on another system.
func (r Rules) checkText(path string) error {
	switch {
	case path == "":
		return refuse("the path is empty")
	case len(path) > maxPath:
		return refuse("the path is longer than %d bytes", maxPath)
	case !utf8.ValidString(path) || untrusted.HasInvisible(path):
		return refuse("%s holds a character that can't be seen, such as a line end or a zero byte", quote(path))
	}
	for _, name := range strings.FieldsFunc(path, isSeparator) {
		if len(name) > maxName {
			return refuse("a name in the path is longer than %d bytes", maxName)
		}
		if runtime.GOOS == "windows" && filename.IsDevice(name) {
			return refuse("%s: %s is the name of a device on Windows", quote(path), quote(name))
		}
	}
	return nil
}

func isSeparator(c rune) bool { return c == '/' || c == filepath.Separator }

// checkHidden refuses a hidden name below the innermost allowed folder: a user who allows
// ~/.config has allowed that name.
func (r Rules) checkHidden(s location) error {
	if r.denied(s) {
		return refuse("this server keeps its own keys there, and sends and saves none of that")
	}
	if r.Hidden {
		return nil
	}
	rel := s.rel
	for _, f := range r.Folders {
		if inner, ok := relIn(f.real, s.path()); ok && len(inner) < len(rel) {
			rel = inner
		}
	}
	for _, name := range strings.FieldsFunc(rel, isSeparator) {
		if isHidden(name) {
			return refuse("%s is hidden, or looks like a store of keys: only the user can allow that, by starting kubbi-mcp with --allow-hidden", quote(name))
		}
	}
	return nil
}

// denied reports whether a location is in a folder that is refused in any case. A file system
// that ignores case or Unicode forms has many names for one folder, so it is enough that a
// folder on the way is the same.
func (r Rules) denied(s location) bool {
	for _, dir := range r.Denied {
		if resolved, err := filepath.EvalSymlinks(dir); err == nil {
			dir = resolved
		}
		if Within(s.path(), dir) {
			return true
		}
		own, err := os.Stat(dir)
		if err != nil {
			continue
		}
		for path := s.path(); ; path = filepath.Dir(path) {
			if info, err := os.Stat(path); err == nil && os.SameFile(info, own) {
				return true
			}
			if path == filepath.Dir(path) {
				break
			}
		}
	}
	return false
}

// Allowed says which folders are allowed, or how to allow one.
func (r Rules) Allowed() string {
	missing := ""
	if len(r.Missing) > 0 {
		missing = " The user also allows " + strings.Join(r.Missing, ", ") + ", which was not there when kubbi-mcp started."
	}
	if len(r.Folders) == 0 && r.Cure != "" {
		return r.Cure + missing
	}
	if len(r.Folders) == 0 {
		return "Only the user can allow one, by starting kubbi-mcp with --allow-dir DIR, or the host by offering it as a root." + missing
	}
	paths := make([]string, len(r.Folders))
	for i, f := range r.Folders {
		paths[i] = f.Path
	}
	slices.Sort(paths)
	return "Allowed: " + strings.Join(slices.Compact(paths), ", ") + "." + missing
}

// With gives the rules with more folders, and no folder twice.
func (r Rules) With(more ...Folder) Rules {
	r.Folders = slices.Clip(r.Folders)
	for _, f := range more {
		if !slices.ContainsFunc(r.Folders, func(have Folder) bool { return have.real == f.real && have.Path == f.Path }) {
			r.Folders = append(r.Folders, f)
		}
	}
	return r
}

// Covers reports whether a path is in an allowed folder, by its text alone. A relative
// path always is: see locate.
func (r Rules) Covers(path string) bool {
	if !filepath.IsAbs(path) {
		return true
	}
	for _, f := range r.Folders {
		if Within(path, f.Path) || Within(path, f.real) {
			return true
		}
	}
	return false
}

// Within reports whether an absolute path is a folder's or leads into it.
func Within(path, folder string) bool {
	_, ok := relIn(folder, path)
	return ok
}

// relIn gives a path as it is from a folder, if it is in it.
func relIn(folder, path string) (rel string, ok bool) {
	rel, err := filepath.Rel(folder, path)
	return rel, err == nil && filepath.IsLocal(rel)
}
