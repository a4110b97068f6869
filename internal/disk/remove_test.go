package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// folder makes a folder with a file and a folder with a file in it.
func folder(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "dir")
	if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"file", filepath.Join("sub", "file")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestRemove tests the call that Go uses and the older one: both remove a file and an
// empty folder, and leave a folder with files.
func TestRemove(t *testing.T) {
	for how, remove := range map[string]func(*os.Root, string) error{"Remove": Remove, "older": removeOlder} {
		t.Run(how, func(t *testing.T) {
			root, err := os.OpenRoot(folder(t))
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			if err := remove(root, "sub"); err == nil {
				t.Error("a folder with a file in it was removed")
			}
			for _, name := range []string{"file", "sub/file", "sub"} {
				if err := remove(root, name); err != nil {
					t.Error(err)
				}
				if _, err := root.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s is still there: %v", name, err)
				}
			}
			if err := remove(root, "file"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("what is not there: %v", err)
			}
		})
	}
}

func TestRemoveAll(t *testing.T) {
	dir := folder(t)
	for range 2 { // what is not there is no error
		if err := RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}

	dir = folder(t)
	parent, err := os.OpenRoot(filepath.Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer parent.Close()
	for range 2 {
		if err := removeTree(parent, "dir"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
}
