package files

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/windows"
)

// TestNative reads the forms in which hosts on Windows give a path.
func TestNative(t *testing.T) {
	for path, want := range map[string]string{
		`C:\a\b`: `C:\a\b`, `C:/a`: `C:/a`, `\\host\share\a`: `\\host\share\a`, `a\b`: `a\b`, `a/b`: `a/b`, `.`: `.`,
		`/c/Users/x`: `C:\Users\x\`, `/D`: `D:\`,
		`/etc/passwd`: "", `\a`: "", `C:a`: "", `C:`: "", `/`: "", `\c\a`: "",
	} {
		got, ok := native(path)
		if got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v, want %q", path, got, ok, want)
		}
	}
}

// TestReadOnWindows reads a file by each way to name it, and refuses those that would bypass
// the rules.
func TestReadOnWindows(t *testing.T) {
	top, r := tree(t, "in/a.txt", "in/.longer-than-eight/secret.txt", "in/notes of mine.txt")
	in := filepath.Join(top, "in")
	unix := "/" + strings.ToLower(in[:1]) + filepath.ToSlash(in[2:])
	for _, path := range []string{"A.TXT", strings.ToUpper(in) + `\a.txt`, filepath.ToSlash(in) + "/a.txt", unix + "/a.txt", `.\a.txt`} {
		if _, err := read(r, path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	for path, why := range map[string]string{
		`\\?\` + in + `\..\out\secret`: "outside", `\\.\C:\x`: "outside", `\\localhost\c$\x`: "outside", `C:a.txt`: "no drive",
		"a.txt:stream": "", "a.txt::$DATA": "", `~\x`: "outside", "a?.txt": "no file matches", "a|b": "can have",
		".LONGER-THAN-EIGHT/secret.txt": "--allow-hidden", "/etc/passwd": "no drive",
	} {
		refusedRead(t, r, path, why)
	}
	if err := os.Link(filepath.Join(top, "out", "secret"), filepath.Join(in, "hard")); err != nil {
		t.Fatal(err)
	}
	if _, err := read(r, "hard"); err == nil || !strings.Contains(err.Error(), "hard link") {
		t.Errorf("a hard link: %v", err)
	}
}

// TestShortNames uses the short name that MS-DOS would have for a folder: no file can be read
// by it. Some volumes have no such names.
func TestShortNames(t *testing.T) {
	top, r := tree(t, "in/.longer-than-eight/secret.txt", "in/a~b/c~1.txt")
	long, err := windows.UTF16PtrFromString(filepath.Join(top, "in", ".longer-than-eight"))
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]uint16, windows.MAX_LONG_PATH)
	if _, err := windows.GetShortPathName(long, &buf[0], uint32(len(buf))); err != nil {
		t.Fatal(err)
	}
	if short := filepath.Base(windows.UTF16ToString(buf)); short != ".longer-than-eight" {
		refusedRead(t, r, short+"/secret.txt", "short form")
		if b, err := r.NewBatch(short+"/new", false); err == nil {
			b.Close()
			t.Error("saved by a short name")
		}
	}
	if _, err := read(r, "a~b/c~1.txt"); err != nil {
		t.Fatalf("a name that only looks short: %v", err)
	}
}
