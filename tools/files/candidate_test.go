package files

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// TestTooWide names folders of several systems.
func TestTooWide(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the paths are those of Unix")
	}
	home := filepath.Join(t.TempDir(), "anna")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	for path, want := range map[string]bool{
		"/": true, "/home": true, "/Users": true, "/users": true, "/etc": true, "/etc/ssh": true, "/usr/share/x": true, "/var/log": true, "/proc/self": true,
		"/dev/fd": true, "/run/secrets": true, "/System/Library": true, "/private/etc": true, "/private/var/db": true, "/Volumes": true,
		home: true, filepath.Dir(home): true, home + "/Library/Keychains": true, home + "/AppData/Roaming": true,
		home + "/work": false, home + "/Librarian": false, "/srv/data": false, "/opt/app": false, "/Volumes/disk/x": false, "/mnt/c/work": false,
		"/var/folders/ab/x": false, "/private/var/folders/ab/x": false, "/var/tmp/x": false, "/etcetera": false, "/home/berta/work": false,
	} {
		if got := TooWide(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

// TestCandidate finds the folder that must be allowed, and none if nobody should be asked.
func TestCandidate(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"docs/sub", ".hidden/docs", "data/claims"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "docs/a.txt"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	rules := Rules{Denied: []string{filepath.Join(root, "data")}}
	for path, want := range map[string][2]string{ // to read, to write; "": nobody is asked
		"docs/a.txt":        {"docs", ""},
		"docs":              {"docs", "docs"},
		"docs/../docs/sub/": {"docs/sub", "docs/sub"},
		"docs/*.txt":        {"docs", "docs/*.txt"},
		"docs/*/a?.txt":     {"docs", "docs/*/a?.txt"},
		"docs/no.txt":       {"", "docs/no.txt"},
		"new/er":            {"", "new/er"},
		".hidden/docs":      {"", ""},
		"docs/.git":         {"", ""},
		"docs/key.pem/x":    {"", ""},
		"data":              {"", ""},
		"data/claims":       {"", ""},
		"data/new":          {"", ""},
		"docs/a.txt/x":      {"", ""},
	} {
		for i, write := range []bool{false, true} {
			c, ok := rules.Candidate(filepath.Join(root, "x")+"/../"+path, write)
			switch {
			case ok != (want[i] != ""):
				t.Errorf("%s, write %v: %v %+v", path, write, ok, c)
			case ok && c.Real != filepath.Join(root, want[i]):
				t.Errorf("%s, write %v: %s", path, write, c.Real)
			}
		}
	}
	if c, ok := rules.Candidate("docs/a.txt", false); ok {
		t.Errorf("a relative path: %+v", c)
	}
}
