package files

import (
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// With gives the rules with more folders, each folder once.
func (r Rules) With(more ...Folder) Rules {
	r.Folders = slices.Clip(r.Folders)
	for _, f := range more {
		if !slices.ContainsFunc(r.Folders, func(have Folder) bool { return have.real == f.real && have.Path == f.Path }) {
			r.Folders = append(r.Folders, f)
		}
	}
	return r
}

// Real is the folder's path without symbolic links.
func (f Folder) Real() string { return f.real }

// Covers reports whether a path is, by its text, in an allowed folder, so that no
// other needs to be allowed. A relative path is always in one: see locate.
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

// Within reports whether an absolute path is that of a folder or leads into it.
func Within(path, folder string) bool {
	rel, err := filepath.Rel(folder, path)
	return err == nil && filepath.IsLocal(rel)
}

// Candidate is a folder that a user could be asked to allow.
type Candidate struct {
	Given string // as the path names it
	Real  string // without symbolic links: what the user is asked
}

// Candidate gives the smallest folder that has to be allowed so that a path can
// be read or written. There is none for a path with no folder, for one in a folder
// that nobody should allow in passing (a home, a system's), and for one that the
// rules refuse in an allowed folder as well.
func (r Rules) Candidate(path string, write bool) (Candidate, bool) {
	if r.checkText(path) != nil || !filepath.IsAbs(path) {
		return Candidate{}, false
	}
	given, missing := filepath.Clean(path), ""
	info, err := os.Stat(given)
	switch {
	case err == nil && info.IsDir():
	case err == nil && write:
		return Candidate{}, false // a file, and no folder to write into
	case err == nil:
		given = filepath.Dir(given)
	case write:
		given, missing = existing(given)
	case strings.ContainsAny(path, "*?["):
		given = beforePattern(given)
	default:
		return Candidate{}, false // nothing is there
	}
	real, err := filepath.EvalSymlinks(given)
	if err != nil {
		return Candidate{}, false
	}
	if info, err = os.Stat(real); err != nil || !info.IsDir() {
		return Candidate{}, false
	}
	c := Candidate{Given: filepath.Join(given, missing), Real: filepath.Join(real, missing)}
	return c, r.mayAsk(c.Real)
}

// mayAsk reports whether a user may be asked to allow a folder.
func (r Rules) mayAsk(real string) bool {
	if r.checkText(real) != nil || TooWide(real) || r.never(spot{folder: Folder{real: real}, rel: "."}) {
		return false
	}
	return r.Hidden || !slices.ContainsFunc(strings.FieldsFunc(real, isSeparator), hidden)
}

// existing splits a path into the part that is there, and the rest.
func existing(path string) (there, missing string) {
	for there = path; ; {
		if _, err := os.Lstat(there); err == nil {
			return there, missing
		}
		up := filepath.Dir(there)
		if up == there {
			return there, missing
		}
		missing = filepath.Join(filepath.Base(there), missing)
		there = up
	}
}

// beforePattern gives the folder in which a pattern begins.
func beforePattern(path string) string {
	for strings.ContainsAny(path, "*?[") {
		up := filepath.Dir(path)
		if up == path {
			break
		}
		path = up
	}
	return path
}

// TooWide reports whether a folder, given without symbolic links, holds so much
// that nobody should allow it in passing: a whole disk, a home or what is above
// it, and folders of the system.
func TooWide(real string) bool {
	if filepath.Dir(real) == real || filepath.VolumeName(real) == real {
		return true
	}
	for _, home := range homes() {
		if within(home, real) || within(real, filepath.Join(home, "Library")) || within(real, filepath.Join(home, "AppData")) {
			return true
		}
	}
	for _, folder := range wholeFolders {
		if strings.EqualFold(real, folder) {
			return true
		}
	}
	for _, folder := range temporary {
		if within(real, folder) {
			return false
		}
	}
	system := systemFolders
	if runtime.GOOS == "windows" {
		system = nil
		for _, name := range []string{"SystemRoot", "ProgramFiles", "ProgramFiles(x86)", "ProgramData"} {
			if dir := os.Getenv(name); dir != "" {
				system = append(system, dir)
			}
		}
	}
	return slices.ContainsFunc(system, func(folder string) bool { return within(real, folder) && !inHome(real) })
}

// inHome reports whether a path is below the user's home, which may stand among
// the system's folders.
func inHome(path string) bool {
	return slices.ContainsFunc(homes(), func(home string) bool { return within(path, home) })
}

// Folders of the common systems: those that are too wide themselves, those of
// which no part may be asked for, and the places for temporary files among these.
var (
	wholeFolders  = []string{"/home", "/Users", "/Volumes", "/mnt", "/media", "/opt", "/srv", "/private", "/var", "/var/folders", "/private/var/folders", `C:\Users`}
	systemFolders = []string{"/etc", "/proc", "/sys", "/dev", "/boot", "/run", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/usr", "/root", "/var",
		"/System", "/Library", "/Applications", "/private/etc", "/private/var", "/cores"}
	temporary = []string{"/var/tmp", "/var/folders", "/private/var/tmp", "/private/var/folders", "/dev/shm"}
)

// homes gives the user's home, as the environment and the system name it, with and
// without symbolic links.
func homes() []string {
	var all []string
	for _, home := range []string{environmentHome(), systemHome()} {
		if !filepath.IsAbs(home) || filepath.Dir(home) == filepath.Clean(home) {
			continue
		}
		all = append(all, filepath.Clean(home))
		if resolved, err := filepath.EvalSymlinks(home); err == nil {
			all = append(all, resolved)
		}
	}
	return all
}

func environmentHome() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return home
}

// systemHome is the home by the system's list of users: a host may start a server
// with another, or none, in its environment.
var systemHome = sync.OnceValue(func() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.HomeDir
})

// within is Within without regard to case, as some systems have it.
func within(path, folder string) bool {
	return Within(strings.ToLower(path), strings.ToLower(folder))
}
