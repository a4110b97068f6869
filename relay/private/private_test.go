//go:build unix

package private_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kubbi-mcp/relay/private"
)

// made gives a private file of that content.
func made(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if b, err := private.Create(path, []byte(content)); err != nil || string(b) != content {
		t.Fatalf("%q, %v", b, err)
	}
	return path
}

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

func TestCreateNeverReplaces(t *testing.T) {
	path := made(t, "first")
	if b, err := private.Create(path, []byte("second")); err != nil || string(b) != "first" {
		t.Errorf("%q, %v", b, err)
	}
	onlyFiles(t, path)
}

// TestEditsLoseNothing counts in a file from many sides at once, through a
// link to it.
func TestEditsLoseNothing(t *testing.T) {
	path := made(t, "0")
	link := filepath.Join(filepath.Dir(path), "link")
	if err := os.Symlink("secret", link); err != nil {
		t.Fatal(err)
	}
	const sides, times = 8, 10
	var wg sync.WaitGroup
	for range sides {
		wg.Go(func() {
			for range times {
				if err := private.Edit(t.Context(), link, func(b []byte) ([]byte, error) {
					n, err := strconv.Atoi(string(b))
					return fmt.Append(nil, n+1), err
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if b, err := private.Read(path); err != nil || string(b) != strconv.Itoa(sides*times) {
		t.Errorf("%q, %v", b, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link became a file: %v, %v", info, err)
	}
	onlyFiles(t, path, path+".lock", link)
}

func TestEditThatFails(t *testing.T) {
	path := made(t, "kept")
	trouble := errors.New("trouble")
	if err := private.Edit(t.Context(), path, func([]byte) ([]byte, error) { return []byte("lost"), trouble }); !errors.Is(err, trouble) {
		t.Errorf("%v", err)
	}
	if err := private.Edit(t.Context(), path, func([]byte) ([]byte, error) { return nil, nil }); err != nil {
		t.Errorf("an edit of nothing: %v", err)
	}
	if b, err := private.Read(path); err != nil || string(b) != "kept" {
		t.Errorf("%q, %v", b, err)
	}
	onlyFiles(t, path, path+".lock")
}

func TestEditWaitsForItsTurn(t *testing.T) {
	path := made(t, "x")
	err := private.Edit(t.Context(), path, func([]byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := private.Edit(ctx, path, func([]byte) ([]byte, error) { return []byte("y"), nil }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("an edit during another: %v", err)
		}
		return nil, nil
	})
	if err != nil {
		t.Error(err)
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

// TestReadOfRoots reads, as somebody else, what root hands out to a group.
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

// onlyFiles checks that nothing was left beside the files.
func onlyFiles(t *testing.T, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(want[0]))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(want) {
		t.Errorf("the directory holds %v, want %v", entries, want)
	}
}
