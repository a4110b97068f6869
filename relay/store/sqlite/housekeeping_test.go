package sqlite_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/relay/store"
)

// folderBytes is the size of all files beside path.
func folderBytes(t *testing.T, path string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(filepath.Dir(path), func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			n += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Free pages go back to the file system soon, although the tombstones stay.
func TestFreePagesAreGivenBack(t *testing.T) {
	testkit.OnlyCI(t, "writes 100 MB")
	path := storePath(t)
	s := openStore(t, path)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 200 {
				size := 40_000
				if i%20 == 0 {
					size = 400_000
				}
				k := newKubbi(1)
				if _, err := s.Create(t.Context(), k, bytesOf(make([]byte, size)), nil, store.Quota{}, t0); err != nil {
					t.Error(err)
					return
				}
				defer func() {
					c, err := s.Claim(t.Context(), k.Token, nil, nil, t0)
					if err == nil {
						err = readAll(c)
					}
					if err != nil {
						t.Error(err)
					}
				}()
			}
		})
	}
	wg.Wait()
	deadline := time.Now().Add(time.Minute)
	for n := folderBytes(t, path); n > 40<<20; n = folderBytes(t, path) {
		if time.Now().After(deadline) {
			t.Log("auto_vacuum", queryInt(t, path, "PRAGMA auto_vacuum"), "free", queryInt(t, path, "PRAGMA freelist_count"), "of", queryInt(t, path, "PRAGMA page_count"))
			t.Fatalf("%d bytes are still taken", n)
		}
		time.Sleep(100 * time.Millisecond)
		// As a relay does. On Windows a payload's file can't be removed while it is read.
		if _, err := s.Sweep(t.Context(), t0, time.Hour, 1000); err != nil {
			t.Fatal(err)
		}
	}
}
