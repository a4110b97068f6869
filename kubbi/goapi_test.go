package kubbi

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestGoAPI compares the exported declarations of this package and of package api
// with testdata/goapi.txt: docs/install.md promises that they stay.
// go test ./kubbi -run TestGoAPI -update rewrites the file.
func TestGoAPI(t *testing.T) {
	got := goAPI(t, ".") + goAPI(t, "api")
	golden := filepath.Join("testdata", "goapi.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("the Go API has changed (-was +is):\n%s", diff)
	}
}

// goAPI prints the exported declarations of a package on all systems, without
// comments and function bodies, in the order of their text.
func goAPI(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var decls []string
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, 0) // without comments
		if err != nil {
			t.Fatal(err)
		}
		ast.FileExports(f)
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv != nil && !ast.IsExported(receiver(d)) {
					continue
				}
				d.Body = nil
				decls = append(decls, printed(t, fset, d))
			case *ast.GenDecl:
				if d.Tok == token.IMPORT {
					continue
				}
				decls = append(decls, printed(t, fset, d))
			}
		}
	}
	slices.Sort(decls)
	return fmt.Sprintf("package %s\n\n%s\n", dir, strings.Join(slices.Compact(decls), "\n"))
}

// receiver is the name of a method's type.
func receiver(d *ast.FuncDecl) string {
	x := d.Recv.List[0].Type
	if p, ok := x.(*ast.StarExpr); ok {
		x = p.X
	}
	if i, ok := x.(*ast.IndexExpr); ok {
		x = i.X
	}
	return x.(*ast.Ident).Name
}

func printed(t *testing.T, fset *token.FileSet, node ast.Node) string {
	t.Helper()
	var b bytes.Buffer
	if err := printer.Fprint(&b, fset, node); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(b.String()) {
		// Columns depend on comments and on members that are not exported.
		if line = strings.Join(strings.Fields(line), " "); line != "" && !strings.HasPrefix(line, "//") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}
