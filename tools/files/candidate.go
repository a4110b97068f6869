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

// Candidate is a folder that a user may be asked to allow.
type Candidate struct {
	Given string // as the path names it
	Real  string // without symbolic links: the one that the user is asked about
}

// Candidate gives the smallest folder that must be allowed so that a path can be read or
// written. There is none if nothing is at the path, if the folder is too wide to ask about,
// or if the rules refuse the path in an allowed folder too.
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
		given, missing = splitExisting(given)
	case strings.ContainsAny(path, "*?["):
		given = beforePattern(given)
	default:
		return Candidate{}, false
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
	if r.checkText(real) != nil || TooWide(real) || r.denied(location{folder: Folder{real: real}, rel: "."}) {
		return false
	}
	return r.Hidden || !slices.ContainsFunc(strings.FieldsFunc(real, isSeparator), isHidden)
}

// splitExisting splits a path into the part that exists and the rest.
func splitExisting(path string) (existing, missing string) {
	for existing = path; ; {
		_, err := os.Lstat(existing)
		up := filepath.Dir(existing)
		if err == nil || up == existing {
			return existing, missing
		}
		missing = filepath.Join(filepath.Base(existing), missing)
		existing = up
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

// TooWide reports whether a folder, given without symbolic links, holds so much that only
// --allow-dir may allow it: a whole disk, a home or a folder above it, or a folder of the
// system.
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

// inHome reports whether a path is in the user's home, which may be in a folder of the
// system.
func inHome(path string) bool {
	return slices.ContainsFunc(homes(), func(home string) bool { return within(path, home) })
}

// Folders of common systems. wholeFolders are too wide, but a folder in them may be allowed.
// systemFolders are too wide with all that is in them, except temporary, the places for
// temporary files.
var (
	wholeFolders  = []string{"/home", "/Users", "/Volumes", "/mnt", "/media", "/opt", "/srv", "/private", "/var", "/var/folders", "/private/var/folders", `C:\Users`}
	systemFolders = []string{"/etc", "/proc", "/sys", "/dev", "/boot", "/run", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/usr", "/root", "/var",
		"/System", "/Library", "/Applications", "/private/etc", "/private/var", "/cores"}
	temporary = []string{"/var/tmp", "/var/folders", "/private/var/tmp", "/private/var/folders", "/dev/shm"}
)

// homes gives the user's home, as the environment and as the system has it, with and
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

// systemHome is the home in the system's list of users: a host may start a server with
// another one in its environment, or none.
var systemHome = sync.OnceValue(func() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.HomeDir
})

// within is Within for a system that ignores case.
func within(path, folder string) bool {
	return Within(strings.ToLower(path), strings.ToLower(folder))
}
