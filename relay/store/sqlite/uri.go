package sqlite

import (
	"fmt"
	"runtime"
	"strings"
)

// maxPath is the longest path of a data base that SQLite accepts, in bytes. On Windows the
// system has its own limit.
const maxPath = 512 - len("-journal")

// checkLength refuses a path that is too long. SQLite's own error would only say that the file
// can't be opened.
func checkLength(path string) error {
	if len(path) <= maxPath || runtime.GOOS == "windows" {
		return nil
	}
	return fmt.Errorf("%w: its path has %d bytes, and SQLite takes %d at most: use a data directory with a shorter path (--data-dir, KUBBI_DATA_DIR)",
		ErrCannotOpen, len(path), maxPath)
}

// uri is the name of the file at an absolute path, in the form that takes
// parameters: https://sqlite.org/uri.html.
func uri(path, query string) string {
	return uriOn(runtime.GOOS, path) + "?" + query
}

// uriOn is uri without parameters, for a path of the platform goos. On Windows
// that is C:\dir\store.db, \\server\share\store.db or \\?\C:\dir\store.db, with
// slashes of either kind.
func uriOn(goos, path string) string {
	if goos == "windows" {
		path = strings.ReplaceAll(path, `\`, "/")
		if !strings.HasPrefix(path, "/") {
			path = "/" + path // SQLite takes it off again before a drive letter
		}
	}
	// The authority is empty, so that the name of a share is part of the path.
	return "file://" + escaped(path)
}

// escaped writes every byte with a meaning in a URI as %XX, also for the value of a parameter.
// The functions of net/url can't be used: SQLite reads "+" as itself and ends a value at "&",
// but url.QueryEscape and url.PathEscape have other rules.
func escaped(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("/:-._~", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
