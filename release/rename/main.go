// Command rename gives the module its public path, and with it all that follows: imports,
// the image, and what a release writes into formulas and manifests, which it takes from the
// module's path.
//
//	go -C release run ./rename github.com/OWNER/kubbi-mcp
package main

import (
	"bytes"
	"fmt"
	"go/format"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go -C release run ./rename MODULE, as github.com/OWNER/kubbi-mcp")
		os.Exit(2)
	}
	changed, err := rename("..", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "rename:", err)
		os.Exit(1)
	}
	fmt.Printf("%d files changed; see git diff\n", changed)
}

// program is the last part of every path: go install names the program after it.
const program = "kubbi-mcp"

// rename renames the module in root, and returns how many files it has changed. It writes
// nothing unless all can be changed.
func rename(root, to string) (int, error) {
	if err := module.CheckPath(to); err != nil || path.Base(to) != program {
		return 0, fmt.Errorf("%q is no module path that ends in /%s, as github.com/OWNER/%s", to, program, program)
	}
	b, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return 0, fmt.Errorf("run me as go -C release run ./rename: %w", err)
	}
	from := modfile.ModulePath(b)
	if from == to {
		return 0, nil
	}
	changed := map[string][]byte{}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "dist" || d.Name() == "node_modules" || d.Name() == "cache"):
			return filepath.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		old, err := os.ReadFile(path)
		if err != nil || !utf8.Valid(old) || !bytes.Contains(old, []byte(from)) {
			return err
		}
		text, err := renameIn(root, path, string(old), from, to)
		if err == nil && text != string(old) {
			changed[path] = []byte(text)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	for path, text := range changed {
		info, err := os.Stat(path)
		if err != nil {
			return 0, err
		}
		if err := os.WriteFile(path, text, info.Mode().Perm()); err != nil {
			return 0, err
		}
	}
	return len(changed), nil
}

// renameIn gives a file's new text. A path of a package is changed wherever it stands: in
// imports, flags of the linker, comments and pages. Other names that begin alike stay, such
// as labels of key derivation.
func renameIn(root, name, text, from, to string) (string, error) {
	packages := regexp.MustCompile(`(^|[^\w./-])` + regexp.QuoteMeta(from) + `/([a-z0-9_/]+)`)
	text = packages.ReplaceAllStringFunc(text, func(match string) string {
		part := packages.FindStringSubmatch(match)
		if info, err := os.Stat(filepath.Join(root, filepath.FromSlash(part[2]))); err != nil || !info.IsDir() {
			return match
		}
		return part[1] + to + "/" + part[2]
	})
	switch {
	case filepath.Base(name) == "go.mod":
		text = regexp.MustCompile(`(?m)^module `+regexp.QuoteMeta(from)+`$`).ReplaceAllLiteralString(text, "module "+to)
	case filepath.Ext(name) == ".yaml":
		text = strings.ReplaceAll(text, "image: "+image(from)+":", "image: "+image(to)+":")
	case filepath.Ext(name) == ".go":
		b, err := format.Source([]byte(text)) // the imports in their new order
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		text = string(b)
	}
	return text, nil
}

// image is the image's name: the module's path without its host.
func image(module string) string {
	if host, rest, ok := strings.Cut(module, "/"); ok && strings.Contains(host, ".") {
		module = rest
	}
	return strings.ToLower(module)
}
