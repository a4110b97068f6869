package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// oddNames are names that a folder may have on every platform.
var oddNames = []string{
	"Application Support", "a+b", "100%", "%41", "50%25", "a#b", "a&b=c", "a;b", "a@b,c", "[x] (1)", "{x}", "$HOME", "~", "it's", "été",
	"Данные", "データ", "👩‍💻", " leading", "-flag", "a.b.c", "file:", "!", "^", "`",
}

func TestURI(t *testing.T) {
	for _, tt := range []struct{ goos, path, want string }{
		{"linux", "/home/a/.local/share/kubbi/store.db", "file:///home/a/.local/share/kubbi/store.db"},
		{"darwin", "/Users/a b/Library/Application Support/kubbi/store.db", "file:///Users/a%20b/Library/Application%20Support/kubbi/store.db"},
		{"linux", "/d/a+b?c#d%41&e=f/store.db", "file:///d/a%2Bb%3Fc%23d%2541%26e%3Df/store.db"},
		{"linux", `/d/back\slash/store.db`, "file:///d/back%5Cslash/store.db"},
		{"linux", "/d/\n\xff/store.db", "file:///d/%0A%FF/store.db"},
		{"linux", "/d/ключ/store.db", "file:///d/%D0%BA%D0%BB%D1%8E%D1%87/store.db"},
		{"linux", "//d/store.db", "file:////d/store.db"},
		{"windows", `C:\Users\Ann Other\AppData\Local\kubbi\store.db`, "file:///C:/Users/Ann%20Other/AppData/Local/kubbi/store.db"},
		{"windows", `c:/mixed\slashes/store.db`, "file:///c:/mixed/slashes/store.db"},
		{"windows", `D:\100% #1\a+b\store.db`, "file:///D:/100%25%20%231/a%2Bb/store.db"},
		{"windows", `\\server\share\kubbi\store.db`, "file:////server/share/kubbi/store.db"},
		{"windows", `\\wsl.localhost\Ubuntu\home\a b\store.db`, "file:////wsl.localhost/Ubuntu/home/a%20b/store.db"},
		{"windows", `\\?\C:\deep\store.db`, "file:////%3F/C:/deep/store.db"},
		{"windows", `\\?\UNC\server\share\store.db`, "file:////%3F/UNC/server/share/store.db"},
	} {
		if got := uriOn(tt.goos, tt.path); got != tt.want {
			t.Errorf("%s %s: %s, want %s", tt.goos, tt.path, got, tt.want)
		}
	}
}

// A store can be made and opened again in a folder with any name, under any file name,
// and makes files only there.
func TestOpenAnywhere(t *testing.T) {
	names := oddNames
	if runtime.GOOS != "windows" { // which has no such names
		names = append(names, "a?b", "*", `back\slash`, `"quoted"`, "<x>", "a|b", "new\nline", "trailing ", "trailing.", "a:b")
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), name)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Skipf("this file system has no such name: %v", err)
			}
			path := filepath.Join(dir, name+".db")
			for range 2 {
				s, err := Open(t.Context(), Config{Path: path})
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			files, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				if !strings.HasPrefix(f.Name(), name+".") {
					t.Errorf("%q lies beside the store", f.Name())
				}
				info, err := f.Info()
				if err != nil {
					t.Fatal(err)
				}
				if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode != 0o600 && !f.IsDir() {
					t.Errorf("%s has mode %04o", f.Name(), mode)
				}
			}
		})
	}
}

// The lock is never the store itself.
func TestLockPath(t *testing.T) {
	for path, want := range map[string]string{
		"/d/store.db":      "/d/store.lock",
		"/d/store":         "/d/store.lock",
		"/d.x/store":       "/d.x/store.lock",
		"/d/store.lock":    "/d/store.lock.lock",
		"/d/a b.c d.db":    "/d/a b.c d.lock",
		"/d/store.db.lock": "/d/store.db.lock.lock",
	} {
		if got := filepath.ToSlash(lockPath(filepath.FromSlash(path))); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// The longest path of SQLite works, and the error for a longer one names the cure.
func TestLongestPath(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the system decides there")
	}
	dir := t.TempDir()
	for len(dir) < maxPath-250 {
		dir = filepath.Join(dir, strings.Repeat("d", 100))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	longest := filepath.Join(dir, strings.Repeat("s", maxPath-len(dir)-len("/.db"))+".db")
	s, err := Open(t.Context(), Config{Path: longest})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	_, err = Open(t.Context(), Config{Path: strings.Replace(longest, "/d", "/dd", 1)})
	if !errors.Is(err, ErrCannotOpen) || !strings.Contains(err.Error(), "--data-dir") || len(err.Error()) > 300 {
		t.Errorf("error %v", err)
	}
}
