package files

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// write stages files and commits them.
func write(t *testing.T, b *Batch, names ...string) ([]Saved, error) {
	t.Helper()
	for _, name := range names {
		if err := b.Stage(t.Context(), name, strings.NewReader("in "+name)); err != nil {
			t.Fatal(err)
		}
	}
	return b.Commit()
}

// TestNewBatchAt writes one file and two to each kind of path.
func TestNewBatchAt(t *testing.T) {
	for _, c := range []struct {
		path string // in a folder with file and folder/
		one  string // where a goes, alone; "": refused
		two  string // where a goes, together with b
	}{
		{"new", "new", "new/a"},
		{"new/", "new/a", "new/a"},
		{"deep/er/new", "deep/er/new", "deep/er/new/a"},
		{"deep/er/new/", "deep/er/new/a", "deep/er/new/a"},
		{"folder", "folder/a", "folder/a"},
		{"folder/.", "folder/a", "folder/a"},
		{"a", "a", "a/a"},
		{"file", "", ""},
		{"file/", "", ""},
		{"file/new", "", ""},
	} {
		for n, want := range map[int]string{1: c.one, 2: c.two} {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "file"), []byte("kept"), 0o600); err != nil {
				t.Fatal(err)
			}
			names := []string{"a", "b"}[:n]
			b, err := NewBatchAt(dir+"/"+c.path, false)
			if err == nil {
				if names, err = b.Names(names, false); err == nil {
					err = b.Check(names, false)
				}
				if err == nil {
					var saved []Saved
					if saved, err = write(t, b, names...); err == nil && saved[0].Path != filepath.Join(dir, want) {
						t.Errorf("%s, %d files: said to be in %s", c.path, n, saved[0].Path)
					}
				}
				if err := b.Close(); err != nil {
					t.Errorf("%s: close: %v", c.path, err)
				}
			}
			if (err == nil) != (want != "") {
				t.Errorf("%s, %d files: %v", c.path, n, err)
			}
			if want != "" {
				if got, err := os.ReadFile(filepath.Join(dir, want)); err != nil || string(got) != "in a" {
					t.Errorf("%s, %d files: %q, %v", c.path, n, got, err)
				}
			}
			if got, _ := os.ReadFile(filepath.Join(dir, "file")); string(got) != "kept" {
				t.Errorf("%s, %d files: the file that was there is gone", c.path, n)
			}
			left, _ := filepath.Glob(filepath.Join(dir, "*", ".kubbi-*"))
			more, _ := filepath.Glob(filepath.Join(dir, ".kubbi-*"))
			if len(left)+len(more) > 0 {
				t.Errorf("%s, %d files: left behind: %v %v", c.path, n, left, more)
			}
		}
	}
	if b, err := NewBatchAt("", false); err == nil {
		b.Close()
		t.Error("an empty path is taken")
	}
}

// TestPackageOfOneFile writes it to paths that may be a file's or a folder's.
func TestPackageOfOneFile(t *testing.T) {
	for path, want := range map[string]string{
		"new": "new/a.png", "new.png": "new.png", ".new": ".new", "a.png": "a.png", "new/": "new/a.png", "there": "there",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "there"), []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := NewBatchAt(dir+"/"+path, true)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Names([]string{"a.png"}, true); err != nil {
			t.Fatal(err)
		}
		saved, err := write(t, b, "a.png")
		if err != nil || saved[0].Path != filepath.Join(dir, want) {
			t.Errorf("%s: %+v, %v", path, saved, err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, want)); err != nil || string(got) != "in a.png" {
			t.Errorf("%s: %q, %v", path, got, err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestPathTakenLate makes a file at the path after Check: it stays, and nothing else is left.
func TestPathTakenLate(t *testing.T) {
	for _, n := range []int{1, 2} {
		for _, overwrite := range []bool{false, true} {
			dir := t.TempDir()
			path := filepath.Join(dir, "new")
			b, err := NewBatchAt(path, overwrite)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Check(nil, false); err != nil { // as for a sealed payload
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte("kept"), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = write(t, b, []string{"a", "b"}[:n]...)
			if wrote := n == 1 && overwrite; (err == nil) != wrote {
				t.Errorf("%d files, overwrite %t: %v", n, overwrite, err)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			want := "kept"
			if n == 1 && overwrite {
				want = "in a"
			}
			if got, _ := os.ReadFile(path); string(got) != want {
				t.Errorf("%d files, overwrite %t: holds %q", n, overwrite, got)
			}
			if got := holding(t, dir); strings.Contains(got, "kubbi-") {
				t.Errorf("left behind: %s", got)
			}
		}
	}
}

// TestPathWrittenTwice writes the same payload twice, as a claim does that was cut off and is
// made again.
func TestPathWrittenTwice(t *testing.T) {
	for _, names := range [][]string{{"a"}, {"a", "b"}} {
		path := filepath.Join(t.TempDir(), "new")
		for range 2 {
			b, err := NewBatchAt(path, false)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Check(names, true); err != nil {
				t.Fatal(err)
			}
			if _, err := write(t, b, names...); err != nil {
				t.Errorf("%v: %v", names, err)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
