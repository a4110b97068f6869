package flock_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kubbi-mcp/internal/flock"
)

// TestLock locks a file through two opens of it. The lock ends with Unlock or when the file is
// closed, and nobody is kept from writing.
func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	open := func() *os.File {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	first, second := open(), open()
	for _, end := range []func() error{func() error { return flock.Unlock(first) }, first.Close} {
		if err := flock.Try(first); err != nil {
			t.Fatal(err)
		}
		if err := flock.Try(second); err != flock.ErrLocked {
			t.Errorf("a locked file: %v", err)
		}
		if _, err := second.WriteAt([]byte("x"), 0); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		if err := flock.Poll(ctx, second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting for a locked file: %v", err)
		}
		cancel()
		locked := make(chan error, 1)
		go func() { locked <- flock.Poll(t.Context(), second) }()
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := <-locked; err != nil {
			t.Error(err)
		}
		if err := flock.Unlock(second); err != nil {
			t.Error(err)
		}
	}
	if err := flock.Block(second); err != nil {
		t.Error(err)
	}
}
