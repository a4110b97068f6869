package files

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"

	"kubbi-mcp/internal/filename"
	"kubbi-mcp/internal/untrusted"
)

// FuzzRules names files in every way: a file that is read is in the allowed folder and not
// hidden, a refusal says why on one line, and a file that is found has a valid name for a
// package.
func FuzzRules(f *testing.F) {
	for _, path := range []string{
		"a.txt", "sub/b.txt", "sub/../a.txt", "../out/secret", "link", "away", "away/secret", ".env", "sub/*", "*/*.txt", "[", "**",
		"CON", "a\x00", "a\n", "~/x", "/etc/passwd", "", ".", "//", "sub//b.txt", "./././a.txt", "..", "sub/.", `sub\b.txt`, "a\u200d.txt", "sub\u00a0/b.txt", ".e\u200dnv", "awa\u200dy/secret", "sub/.s\u200dsh/id_rsa",
	} {
		f.Add(path)
	}
	top := f.TempDir()
	for _, p := range []string{"in/a.txt", "in/sub/b.txt", "in/.env", "in/sub/.ssh/id_rsa", "out/secret"} {
		full := filepath.Join(top, filepath.FromSlash(p))
		if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
			f.Fatal(err)
		}
		if err := os.WriteFile(full, []byte("content of "+p), 0o600); err != nil {
			f.Fatal(err)
		}
	}
	for name, target := range map[string]string{"link": "sub/b.txt", "away": "../out", "dot": ".env", "loop": "loop"} {
		if err := os.Symlink(target, filepath.Join(top, "in", name)); err != nil {
			f.Skipf("no symbolic links here: %v", err)
		}
	}
	allowed, err := NewFolder(filepath.Join(top, "in"))
	if err != nil {
		f.Fatal(err)
	}
	r := Rules{Folders: []Folder{allowed}}
	f.Fuzz(func(t *testing.T, path string) {
		for _, path := range []string{path, filepath.Join(top, "in") + "/" + path} {
			x, err := r.Expand(path, 20)
			checkRefusal(t, path, err)
			if err != nil {
				continue
			}
			for _, found := range x.Files {
				file, err := r.OpenFound(found)
				if err != nil {
					t.Fatalf("%q was found: %v", path, err)
				}
				b, err := io.ReadAll(file)
				file.Close()
				if got := string(b); err != nil || got != "content of in/a.txt" && got != "content of in/sub/b.txt" {
					t.Fatalf("%q was read: %q, %v", path, got, err)
				}
				if rel, err := filepath.Rel(allowed.real, found.Path); err != nil || !filepath.IsLocal(rel) || strings.Contains(rel, ".env") || strings.Contains(rel, ".ssh") {
					t.Errorf("%q stands for %q", path, found.Path)
				}
				if fault := filename.Fault(found.Name); fault != "" {
					t.Errorf("%q is named %q, which %s", found.Path, found.Name, fault)
				}
			}
		}
	})
}

func checkRefusal(t *testing.T, path string, err error) {
	t.Helper()
	var refusal Refusal
	if err != nil && (!errors.As(err, &refusal) || untrusted.HasInvisible(err.Error())) {
		t.Errorf("%q: %q", path, err)
	}
}

// FuzzSavedNames saves under every name that is accepted, and finds the file again by that
// name and by one that looks like it.
func FuzzSavedNames(f *testing.F) {
	for _, name := range []string{"a.txt", "aux.h", "отчёт.csv", "caf\u00e9", "cafe\u0301", "🎉.json", "a\u200db", "notes.", "~$x", "%41", "a;b", "$HOME", "'"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		top := t.TempDir()
		allowed, err := NewFolder(top)
		if err != nil {
			t.Fatal(err)
		}
		r := Rules{Folders: []Folder{allowed}, Hidden: true}
		b, err := r.NewBatch(top, false)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		names, err := b.Names([]string{name}, true)
		if err != nil {
			return
		}
		if err := b.Check(names, false); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		if err := b.Stage(t.Context(), names[0], strings.NewReader(name)); err != nil {
			t.Fatalf("%q is taken, and not saved: %v", name, err)
		}
		saved, err := b.Commit()
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		for _, path := range []string{saved[0].Path, names[0], norm.NFC.String(names[0]), norm.NFD.String(names[0]), strings.ReplaceAll(names[0], "\u00a0", " ")} {
			if path == "~" {
				continue // on its own it means the user's home
			}
			if got, err := read(r, path); err != nil || got != name {
				t.Fatalf("%q was saved as %q, and read as %q: %v", name, path, got, err)
			}
		}
		x, err := r.Expand(top, 20)
		if err != nil || len(x.Files) != 1 || x.Files[0].Name != names[0] {
			t.Fatalf("%q goes out as %+v, %v", names[0], x, err)
		}
	})
}
