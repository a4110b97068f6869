// Package files reads and writes files that an agent names by path, inside the
// folders that its user allows and nowhere else.
//
// A path is compared with the allowed folders as text, and then walked name by
// name through os.Root: what "..", a symbolic link or a race would lead outside
// is refused by the system, not by a comparison that may be out of date. On the
// way every name is checked to be that of the very file or folder that is opened
// in the end, so that a link can't lead past the rule for hidden names either.
package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"unicode/utf8"

	"kubbi-mcp/internal/filename"
	"kubbi-mcp/internal/untrusted"
)

// Refusal says why a path is refused, worded for whoever gave it. It names the
// path and the allowed folders, never what is in a file.
type Refusal string

func (r Refusal) Error() string { return string(r) }

func refuse(format string, args ...any) error { return Refusal(fmt.Sprintf(format, args...)) }

// Bounds of a path, in bytes.
const (
	maxPath = 4096
	maxName = 255
)

// Folder is one whose files may be read and written.
type Folder struct {
	Path string // as it was given, made absolute
	real string // without symbolic links
}

// NewFolder allows a folder, which must exist and be named by its absolute path.
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

// Rules are what may be touched. The zero value allows nothing.
type Rules struct {
	Folders   []Folder
	Hidden    bool     // also what starts with a dot or looks like a key store
	HardLinks bool     // also files with a second name, for a user who names the folder
	Cure      string   // how a first folder can be allowed, for errors; "": as over stdio
	Missing   []string // what the user allows as well, and was not there at the start: for errors
	Never     []string // absolute paths of folders that are refused even so, such as our own keys'
}

// spot is a place under an allowed folder.
type spot struct {
	folder Folder // the outermost allowed one that it is in
	rel    string // from there, clean; ".": the folder itself
}

// path is the spot's absolute path, without symbolic links above it.
func (s spot) path() string { return filepath.Join(s.folder.real, s.rel) }

// locate finds the allowed folder that a path is in, by its text alone.
func (r Rules) locate(path string) (spot, error) {
	spelled, err := Spelled(path)
	if err != nil {
		return spot{}, refuse("%s: %v", quote(path), err)
	}
	if err := r.checkText(spelled); err != nil {
		return spot{}, err
	}
	return r.place(path, spelled)
}

// place is locate for a path that need not be one that somebody would write. given
// is for errors.
func (r Rules) place(given, path string) (spot, error) {
	if len(r.Folders) == 0 {
		return spot{}, refuse("%s: no folder is allowed. %s", quote(given), r.Allowed())
	}
	path, ok := native(path)
	if !ok {
		return spot{}, refuse("%s names no drive, and is outside the allowed folders. %s", quote(given), r.Allowed())
	}
	if !filepath.IsAbs(path) {
		if len(r.Folders) > 1 {
			return spot{}, refuse("%s is a relative path, and several folders are allowed: give an absolute one. %s", quote(given), r.Allowed())
		}
		path = filepath.Join(r.Folders[0].Path, path)
	}
	path = filepath.Clean(path)
	// The outermost folder that holds it: a folder inside another allowed one
	// can be swapped for a link by whoever may write there.
	var found *spot
	for _, f := range r.Folders {
		for _, base := range []string{f.Path, f.real} {
			rel, err := filepath.Rel(base, path)
			if err == nil && filepath.IsLocal(rel) && (found == nil || len(f.real) < len(found.folder.real)) {
				found = &spot{folder: f, rel: rel}
			}
		}
	}
	if found == nil {
		found = r.similarFolder(path)
	}
	if found == nil {
		return spot{}, refuse("%s is outside the allowed folders. %s", quote(given), r.Allowed())
	}
	return *found, r.checkHidden(*found)
}

// checkText refuses what no honest path holds, and what means something else on
// another system.
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

// checkHidden refuses a spot with a hidden name in it, counted from the innermost
// allowed folder: whoever allows ~/.config has allowed that name.
func (r Rules) checkHidden(s spot) error {
	if r.never(s) {
		return refuse("this server keeps its own keys there, and sends and saves none of that")
	}
	if r.Hidden {
		return nil
	}
	rel := s.rel
	for _, f := range r.Folders {
		if inner, err := filepath.Rel(f.real, s.path()); err == nil && filepath.IsLocal(inner) && len(inner) < len(rel) {
			rel = inner
		}
	}
	for _, name := range strings.FieldsFunc(rel, isSeparator) {
		if hidden(name) {
			return refuse("%s is hidden, or looks like a store of keys: only the user can allow that, by starting kubbi-mcp with --allow-hidden", quote(name))
		}
	}
	return nil
}

// never reports whether a spot is in a folder that is always refused.
func (r Rules) never(s spot) bool {
	for _, dir := range r.Never {
		if resolved, err := filepath.EvalSymlinks(dir); err == nil {
			dir = resolved
		}
		if rel, err := filepath.Rel(dir, s.path()); err == nil && filepath.IsLocal(rel) {
			return true
		}
	}
	return false
}

// Allowed says which folders are.
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

// quote shows a path that came from outside.
func quote(path string) string {
	const most = 200
	if len(path) > most {
		path = strings.ToValidUTF8(path[:most], "") + "…"
	}
	return fmt.Sprintf("%q", path)
}

// explain words an error of the file system without the parts of the path that
// the system adds.
func explain(path string, err error) error {
	var refusal Refusal
	if errors.As(err, &refusal) {
		return err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return refuse("%s does not exist", quote(path))
	case errors.Is(err, fs.ErrPermission):
		return refuse("%s: permission denied", quote(path))
	case invalidName(err):
		return refuse("%s holds a character that no name of a file can have on this system", quote(path))
	}
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	return refuse("%s: %v", quote(path), err)
}
