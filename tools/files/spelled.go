package files

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Spelled gives the path that a text stands for: a file URI, a path that begins
// with ~ for the user's home, or the path itself. It is not made absolute.
func Spelled(text string) (string, error) {
	if len(text) > len("file:") && strings.EqualFold(text[:len("file:")], "file:") {
		return PathOfURI(text)
	}
	if text == "~" || len(text) > 1 && text[0] == '~' && os.IsPathSeparator(text[1]) {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		return filepath.Join(home, text[1:]), nil
	}
	return text, nil
}

// PathOfURI gives the path of a file URI, which has to be on this machine; on
// Windows it may be on another one, as \\host\share.
func PathOfURI(uri string) (string, error) {
	u, err := url.Parse(uri)
	switch {
	case err != nil || u.Opaque != "" || !strings.EqualFold(u.Scheme, "file"):
		return "", errors.New("it is no file URI: those begin with file:///")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("it is no URI of a file: a ? or # in a name is written %3F or %23")
	}
	host, path := u.Host, filepath.FromSlash(u.Path)
	if strings.EqualFold(host, "localhost") {
		host = ""
	}
	switch {
	case runtime.GOOS == "windows" && host != "":
		return `\\` + host + path, nil
	case host != "":
		return "", errors.New("it is no URI of a file on this machine")
	case runtime.GOOS == "windows":
		return strings.TrimPrefix(path, `\`), nil
	}
	return path, nil
}
