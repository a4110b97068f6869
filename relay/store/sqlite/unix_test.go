//go:build unix

package sqlite_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/relay/store"
)

// Open leaves files alone that the user can't write. Root can write everything, so as
// root the test runs as nobody.
func TestReadOnly(t *testing.T) {
	base, err := os.MkdirTemp("", "kubbi-store-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(base, "store.test")
	testkit.WriteProgram(t, copied, program)
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		dir, file os.FileMode
		fresh     bool
	}{
		{"file", 0o777, 0o444, false},
		{"directory", 0o555, 0o666, false},
		{"directory and file", 0o555, 0o444, false},
		{"empty directory", 0o555, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(base, c.name)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "kubbi.db")
			var before []byte
			if !c.fresh {
				made, _ := filled(t, 1)
				if before, err = os.ReadFile(made); err != nil {
					t.Fatal(err)
				}
				if err := os.CopyFS(dir, os.DirFS(filepath.Dir(made))); err != nil {
					t.Fatal(err)
				}
				for _, name := range []string{"kubbi.db", "kubbi.slots", "kubbi.lock"} {
					if err := os.Chmod(filepath.Join(dir, name), c.file); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := os.Chmod(dir, c.dir); err != nil {
				t.Fatal(err)
			}
			cmd := child(t, "open", path)
			cmd.Path = copied
			cmd.Dir = base
			if os.Getuid() == 0 {
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			}
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatal("it opens and writes")
			}
			for _, w := range []string{path, "write", dir} {
				if !strings.Contains(string(out), w) {
					t.Errorf("error %q does not say %q", out, w)
				}
			}
			if after, err := os.ReadFile(path); !c.fresh && (err != nil || !bytes.Equal(before, after)) {
				t.Errorf("the file was changed, error %v", err)
			}
		})
	}
}

// Only the user can read what the store writes.
func TestModes(t *testing.T) {
	path := storePath(t)
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	s := openStore(t, path)
	if _, err := s.Create(t.Context(), newKubbi(1), bytesOf([]byte("x")), nil, store.Quota{}, t0); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		want := os.FileMode(0o600)
		if info.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
	}
	if len(entries) < 6 || len(entries) > 7 {
		t.Errorf("%d files, want kubbi.db, -wal, -shm, .lock, .slots, .bodies and maybe .spare", len(entries))
	}
}
