package files

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// ParsePath reads a path that a user or agent wrote: a file URI, or a path, which may begin
// with ~ for the user's home. It does not make it absolute.
func ParsePath(text string) (string, error) {
	if len(text) > len("file:") && strings.EqualFold(text[:len("file:")], "file:") {
		return PathFromURI(text)
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

// PathFromURI gives the path of a file URI. The file must be on this machine; on Windows it
// may be on another one, as \\host\share.
func PathFromURI(uri string) (string, error) {
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
