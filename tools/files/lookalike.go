package files

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"kubbi-mcp/internal/untrusted"
)

// A model often can't write a name exactly: macOS puts a narrow no-break space into the
// names of screenshots, and separates accents from their letters. So a name that does not
// exist finds the one that looks like it, if there is only one.

// lookOf gives the same text for all names that look the same: they differ in kinds of
// spaces and apostrophes, in their Unicode form, or in invisible characters.
func lookOf(name string) string {
	return norm.NFC.String(strings.Map(func(c rune) rune {
		switch {
		case unicode.Is(unicode.Zs, c):
			return ' '
		case c == '\u2018' || c == '\u2019' || c == '\u02bc':
			return '\''
		case untrusted.Invisible(c):
			return -1
		}
		return c
	}, name))
}

// lookalike gives the one name in a folder that looks like name, which does not exist; ""
// if there is none. It refuses two.
func lookalike(dir *os.Root, name string) (string, error) {
	f, err := dir.Open(".")
	if err != nil {
		return "", nil // then the caller's error stays
	}
	defer f.Close()
	look, found := lookOf(name), ""
	if look == "" {
		return "", nil
	}
	for seen := 0; seen < maxEntries; {
		some, err := f.ReadDir(1000)
		for _, d := range some {
			switch {
			case d.Name() == name || lookOf(d.Name()) != look:
			case found == "":
				found = d.Name()
			default:
				return "", refuse("%s is not there, and %s and %s look like it: give one of them, with its escapes",
					strconv.QuoteToASCII(name), strconv.QuoteToASCII(found), strconv.QuoteToASCII(d.Name()))
			}
		}
		if seen += len(some); err != nil || len(some) == 0 {
			return found, nil
		}
	}
	return "", nil // there are too many names to know that it is the only one
}

// lookalikeFolder finds the allowed folder that a path is in, if the path begins with a
// text that looks like the folder's own path.
func (r Rules) lookalikeFolder(path string) *location {
	names := strings.Split(path, string(filepath.Separator))
	var found *location
	for _, f := range r.Folders {
		for _, base := range []string{f.Path, f.real} {
			wanted := strings.Split(base, string(filepath.Separator))
			if len(names) < len(wanted) || !slices.EqualFunc(wanted, names[:len(wanted)], sameLook) {
				continue
			}
			given := strings.Join(names[:len(wanted)], string(filepath.Separator))
			if info, err := os.Stat(given); err == nil && !isFolder(f, info) || err != nil && !errors.Is(err, fs.ErrNotExist) {
				continue // another folder exists there, and it is not allowed
			}
			if found != nil && found.folder.real != f.real && len(found.folder.real) == len(f.real) {
				return nil // two look the same
			}
			if found == nil || len(f.real) < len(found.folder.real) {
				found = &location{folder: f, rel: filepath.Join(append([]string{"."}, names[len(wanted):]...)...)}
			}
		}
	}
	return found
}

// isFolder reports whether info is that of an allowed folder: macOS finds a folder by both
// Unicode forms of its name.
func isFolder(f Folder, info fs.FileInfo) bool {
	own, err := os.Stat(f.real)
	return err == nil && os.SameFile(own, info)
}

func sameLook(a, b string) bool { return a == b || lookOf(a) == lookOf(b) }
