//go:build unix

package private_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"kubbi-mcp/internal/private"
)

func TestReadRefuses(t *testing.T) {
	path := made(t, "x")
	dir := filepath.Dir(path)
	pipe, large := filepath.Join(dir, "pipe"), filepath.Join(dir, "large")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(large, make([]byte, 1<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir:   "not a regular file",
		pipe:  "not a regular file",
		large: "larger than",
	} {
		if _, err := private.Read(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, mode := range []fs.FileMode{0o604, 0o640, 0o620, 0o602, 0o601} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := private.Read(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
	if _, err := private.Read(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
}

// TestEditKeepsTheOwner is an administrator's edit of a service's file.
func TestEditKeepsTheOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	path := made(t, "x")
	if err := os.Chown(path, 65534, 65533); err != nil {
		t.Fatal(err)
	}
	if err := private.Edit(t.Context(), path, func([]byte) ([]byte, error) { return []byte("y"), nil }); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + ".lock"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != 65534 || st.Gid != 65533 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s is of %d:%d, %v", name, st.Uid, st.Gid, info.Mode())
		}
	}
}

// TestReadOfRoots reads, as another user, a file of root that a group may read.
func TestReadOfRoots(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	path := made(t, "x")
	for dir := filepath.Dir(path); dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for mode, want := range map[fs.FileMode]bool{0o640: true, 0o440: true, 0o644: false, 0o660: false, 0o641: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Seteuid(65534); err != nil {
			t.Fatal(err)
		}
		_, err := private.Read(path)
		if back := syscall.Seteuid(0); back != nil {
			t.Fatal(back)
		}
		if (err == nil) != want {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
}
