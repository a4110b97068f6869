package private_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"kubbi-mcp/internal/private"
)

// made makes a private file of that content.
func made(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if b, err := private.Create(path, []byte(content)); err != nil || string(b) != content {
		t.Fatalf("%q, %v", b, err)
	}
	return path
}

func TestCreateNeverReplaces(t *testing.T) {
	path := made(t, "first")
	if b, err := private.Create(path, []byte("second")); err != nil || string(b) != "first" {
		t.Errorf("%q, %v", b, err)
	}
	onlyFiles(t, path)
}

// TestEditsLoseNothing counts in a file from many goroutines at once, through a link to
// it.
func TestEditsLoseNothing(t *testing.T) {
	path := made(t, "0")
	link := path
	if runtime.GOOS != "windows" { // where only some users can make links
		link = filepath.Join(filepath.Dir(path), "link")
		if err := os.Symlink("secret", link); err != nil {
			t.Fatal(err)
		}
	}
	const sides, times = 8, 10
	var wg, readers sync.WaitGroup
	edited, end := context.WithCancel(t.Context())
	defer end()
	for range 2 {
		readers.Go(func() {
			for edited.Err() == nil {
				time.Sleep(10 * time.Millisecond) // Windows replaces no file that is always open
				if b, err := private.Read(link); err != nil || len(b) == 0 {
					t.Errorf("read %q, %v", b, err)
				}
			}
		})
	}
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
	end()
	readers.Wait()
	if b, err := private.Read(path); err != nil || string(b) != strconv.Itoa(sides*times) {
		t.Errorf("%q, %v", b, err)
	}
	want := []string{path, path + ".lock"}
	if link != path {
		if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
			t.Errorf("the link became a file: %v, %v", info, err)
		}
		want = append(want, link)
	}
	onlyFiles(t, want...)
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
