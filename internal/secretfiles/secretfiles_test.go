package secretfiles

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

func made(t *testing.T) *Folder {
	t.Helper()
	f, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(f.Path()) })
	return f
}

func write(t *testing.T, f *Folder, name, content string) {
	t.Helper()
	w, err := f.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
}

// A second name shows what is in a file after its folder is gone.
func TestWipeOverwrites(t *testing.T) {
	f := made(t)
	write(t, f, "key", "a secret")
	other := filepath.Join(filepath.Dir(f.Path()), filepath.Base(f.Path())+"-other")
	if err := os.Link(f.FilePath("key"), other); err != nil {
		t.Skipf("no second names here: %v", err)
	}
	t.Cleanup(func() { os.Remove(other) })
	if runtime.GOOS != "windows" {
		for path, want := range map[string]os.FileMode{f.Path(): 0o700, f.FilePath("key"): 0o600} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: %v, %v, want %v", path, info.Mode(), err, want)
			}
		}
	}
	if err := f.Wipe(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(f.Path()); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
	if b, err := os.ReadFile(other); err != nil || string(b) != "\x00\x00\x00\x00\x00\x00\x00\x00" {
		t.Errorf("the file holds %q, %v", b, err)
	}
}

// The program may put a link to a file of the user in a file's place.
func TestWipeFollowsNoLink(t *testing.T) {
	mine := filepath.Join(t.TempDir(), "mine")
	if err := os.WriteFile(mine, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := made(t)
	write(t, f, "key", "a secret")
	if runtime.GOOS == "windows" {
		t.Skip("an open file can't be replaced here")
	}
	if err := os.Remove(f.FilePath("key")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(mine, f.FilePath("key")); err != nil {
		t.Fatal(err)
	}
	if err := f.Wipe(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(mine); err != nil || string(b) != "mine" {
		t.Errorf("the user's file holds %q, %v", b, err)
	}
}

// New wipes the folder of a process that was killed, and not one that is in use.
func TestLeftFolders(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "")
	killed, inUse := made(t), made(t)
	write(t, killed, "key", "a secret")
	write(t, inUse, "key", "a secret")
	old := time.Now().Add(-time.Hour)
	for _, f := range []*Folder{killed, inUse} {
		if err := os.Chtimes(f.Path(), old, old); err != nil {
			t.Fatal(err)
		}
	}
	killed.files[0].Close()
	killed.lock.Close()
	made(t)
	if _, err := os.Stat(killed.Path()); !os.IsNotExist(err) {
		t.Errorf("the folder of a killed process is still there: %v", err)
	}
	if _, err := os.Stat(inUse.FilePath("key")); err != nil {
		t.Errorf("a folder in use is gone: %v", err)
	}
	if err := inUse.Wipe(); err != nil {
		t.Fatal(err)
	}
}
