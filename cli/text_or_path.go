package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"
)

// sortArguments sorts the arguments into files and folders, or one text.
func (c *sendCmd) sortArguments() error {
	for _, arg := range c.Args {
		if arg == "-" || isThere(arg) {
			continue
		}
		sure := looksLikePath(arg)
		switch {
		case sure && len(c.Args) > 1:
			return usagef("%q: no such file or folder", arg)
		case sure && !maybeSecret(arg):
			return usagef("%q: no such file or folder; to send it as text, use --text or standard input", arg)
		case sure:
			return usagef("the argument looks like the name of a file, and there is no such file or folder; to send it as text, use --text or standard input")
		case len(c.Args) > 1 || len(c.File) > 0 || c.Text != nil:
			return usagef("%q is no file; a text is sent alone, or with --text", arg)
		}
		c.Text = &c.Args[0]
		return nil
	}
	c.File = append(c.File, c.Args...)
	return nil
}

// isThere reports whether an argument names something in the file system, even if it
// can't be read or is a link to nothing.
func isThere(arg string) bool {
	_, err := os.Lstat(arg)
	return err == nil || errors.Is(err, fs.ErrPermission)
}

// pathStarts are the beginnings that only a path has.
var pathStarts = []string{"/", "./", "../", "~/"}

// fileEnding is the end of a file name, and not of a number: a dot with up to ten letters
// and digits after it, at least one of them a letter.
var fileEnding = regexp.MustCompile(`\.[0-9]{0,2}[A-Za-z][0-9A-Za-z]{0,9}$`)

// looksLikePath reports whether an argument looks like a path or a file name. A
// misspelled file name must not be sent as a text.
func looksLikePath(arg string) bool {
	const maxPath, maxName = 4096, 255
	if len(arg) > maxPath || strings.ContainsFunc(arg, unicode.IsControl) || strings.Contains(arg, "://") {
		return false
	}
	for _, start := range pathStarts {
		if strings.HasPrefix(arg, start) {
			return true
		}
	}
	// Sentences have white space; markup and JSON have the other characters, which Windows
	// does not allow in names.
	if strings.ContainsFunc(arg, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(`{}<>"|`, r) }) {
		return false
	}
	name := arg[strings.LastIndexFunc(arg, isSeparator)+1:]
	if len(name) > maxName {
		return false
	}
	return name != arg || fileEnding.MatchString(name)
}

func isSeparator(r rune) bool { return r == '/' || r == filepath.Separator }

// maybeSecret reports whether an argument that looks like a path may be a secret, such as
// base64 with a slash in it. No error repeats such an argument.
func maybeSecret(arg string) bool {
	for _, start := range pathStarts {
		if strings.HasPrefix(arg, start) {
			return false
		}
	}
	return !fileEnding.MatchString(arg)
}
