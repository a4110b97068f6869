package files

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzRules names files in every way: what is read is in the allowed folder and
// is not hidden, what is refused says why on one line, and what is found has a
// name that a package can have.
func FuzzRules(f *testing.F) {
	for _, path := range []string{
		"a.txt", "sub/b.txt", "sub/../a.txt", "../out/secret", "link", "away", "away/secret", ".env", "sub/*", "*/*.txt", "[", "**",
		"CON", "a\x00", "a\n", "~/x", "/etc/passwd", "", ".", "//", "sub//b.txt", "./././a.txt", "..", "sub/.", `sub\b.txt`,
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
			file, err := r.Open(path)
			if err == nil {
				b, rerr := io.ReadAll(file)
				file.Close()
				if got := string(b); rerr != nil || got != "content of in/a.txt" && got != "content of in/sub/b.txt" {
					t.Fatalf("%q was read: %q, %v", path, got, rerr)
				}
			}
			checkRefusal(t, path, err)
			x, err := r.Expand(path, 20)
			checkRefusal(t, path, err)
			if err != nil {
				continue
			}
			for _, found := range x.Files {
				if rel, err := filepath.Rel(allowed.real, found.Path); err != nil || !filepath.IsLocal(rel) || strings.Contains(rel, ".env") || strings.Contains(rel, ".ssh") {
					t.Errorf("%q stands for %q", path, found.Path)
				}
				if found.Name != PackageName(found.Name) {
					t.Errorf("%q is named %q", found.Path, found.Name)
				}
			}
		}
		name := PackageName(path)
		if len(name) > 255 || name != PackageName(name) || strings.Contains(name, "..") || strings.ContainsAny(name, `/\`) {
			t.Errorf("%q becomes %q", path, name)
		}
		if CheckName(path) == nil && path != name {
			t.Errorf("%q is a name to write under, and not one of the API", path)
		}
	})
}

func checkRefusal(t *testing.T, path string, err error) {
	t.Helper()
	var refusal Refusal
	if err != nil && (!errors.As(err, &refusal) || strings.ContainsFunc(err.Error(), unseen)) {
		t.Errorf("%q: %q", path, err)
	}
}
