package sqlite

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"

	"kubbi-mcp/internal/flock"
	"kubbi-mcp/relay/store"
)

// acquire waits for a held lock until the context ends; the next acquire uses the lock
// call that still runs.
func TestFileLock(t *testing.T) {
	path := t.TempDir() + "/store.db"
	var locks [2]*fileLock
	for i := range locks {
		l, err := openLock(path)
		if err != nil {
			t.Fatal(err)
		}
		locks[i] = l
	}
	defer locks[1].close()
	if err := locks[0].acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		if err := locks[1].acquire(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		cancel()
	}
	if err := locks[0].release(); err != nil {
		t.Fatal(err)
	}
	if err := locks[1].acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := flock.Try(locks[0].f); !errors.Is(err, flock.ErrLocked) {
		t.Errorf("two hold the lock: %v", err)
	}
	// Closed while waiting: the lock is not kept.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := locks[0].acquire(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	locks[0].close()
	if err := locks[1].release(); err != nil {
		t.Fatal(err)
	}
	third, err := openLock(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := third.acquire(t.Context()); err != nil {
		t.Error(err)
	}
	third.close()
}

// A lock that is granted when nobody waits any more is unlocked: the process may have
// nothing to write for hours.
func TestFileLockTooLate(t *testing.T) {
	path := t.TempDir() + "/store.db"
	var locks [2]*fileLock
	for i := range locks {
		l, err := openLock(path)
		if err != nil {
			t.Fatal(err)
		}
		defer l.close()
		locks[i] = l
	}
	if err := locks[0].acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := locks[1].acquire(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v", err)
	}
	if err := locks[0].release(); err != nil {
		t.Fatal(err)
	}
	// Let the late one win first.
	time.Sleep(20 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := locks[0].acquire(ctx); err != nil {
		t.Fatal(err)
	}
	if err := locks[0].release(); err != nil {
		t.Fatal(err)
	}
	if err := locks[1].acquire(ctx); err != nil {
		t.Fatal(err)
	}
}

// A group waits for as many ops as there were in the last one, but not long.
func TestFill(t *testing.T) {
	w := &writer{queue: make(chan *op, 3), patience: stoppedTimer(), expected: 3, took: time.Hour}
	for range 3 {
		w.queue <- &op{}
	}
	if group := w.fill([]*op{{}}); len(group) != 3 {
		t.Errorf("%d ops, want 3", len(group))
	}
	// Now one op is in the queue, and no more will come.
	if group := w.fill([]*op{{}}); len(group) != 2 || w.expected != 2 {
		t.Errorf("%d ops, and %d are expected next, want 2", len(group), w.expected)
	}
	if group := w.fill([]*op{{bytes: maxGroupBytes}}); len(group) != 1 {
		t.Errorf("a full group has got %d ops", len(group))
	}
}

func TestExplain(t *testing.T) {
	path := t.TempDir() + "/kubbi.db"
	for _, c := range []struct {
		code        sqlite.ResultCode
		want        error
		unavailable bool
	}{
		{sqlite.ResultBusy, ErrBusy, true},
		{sqlite.ResultBusySnapshot, ErrBusy, true},
		{sqlite.ResultFull, ErrFull, true},
		{sqlite.ResultFull, store.ErrFull, true},
		{sqlite.ResultIOErrFsync, store.ErrUnavailable, true},
		{sqlite.ResultNoMem, store.ErrUnavailable, true},
		{sqlite.ResultCorrupt, ErrCorrupt, false},
		{sqlite.ResultNotADB, ErrCorrupt, false},
		{sqlite.ResultReadOnlyDirectory, ErrReadOnly, false},
		{sqlite.ResultCantOpen, ErrCannotOpen, false},
	} {
		err := explain(path, engine(c.code.ToError()))
		if !errors.Is(err, c.want) || errors.Is(err, store.ErrUnavailable) != c.unavailable || !strings.HasPrefix(err.Error(), path+": ") {
			t.Errorf("code %v: %v", c.code, err)
		}
	}
	if err := explain(path, &os.PathError{Op: "write", Path: path, Err: syscall.ENOSPC}); !errors.Is(err, ErrFull) {
		t.Errorf("a full disk became %v", err)
	}
	if err := explain(path, store.ErrBurned); err != store.ErrBurned {
		t.Errorf("an answer became %v", err)
	}
}
