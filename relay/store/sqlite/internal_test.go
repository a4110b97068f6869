package sqlite

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"kubbi-mcp/relay/flock"
	"kubbi-mcp/relay/store"
)

// A lock that somebody else holds is waited for until the context ends; the
// wait that is left behind serves the next one.
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

// A lock that is got when nobody waits for it any more is not kept: the process
// may have nothing to write for hours.
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

// Frames that a program without the file lock has added are not cut off.
func TestCutLogKeepsFrames(t *testing.T) {
	path := t.TempDir() + "/store.db"
	s, err := Open(t.Context(), Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	put := func(b byte) {
		if err := s.PutAPIKey(t.Context(), store.APIKey{Hash: store.Hash{b}, Owner: "o"}); err != nil {
			t.Fatal(err)
		}
	}
	// The writer's goroutine is idle: nothing has been wiped.
	w := &s.writer
	if _, err := w.c.checkpoint(true); err != nil {
		t.Fatal(err)
	}
	put(1)
	header, err := w.logHeader()
	if err != nil {
		t.Fatal(err)
	}
	frames, err := w.c.checkpoint(false)
	if err != nil || frames == 0 {
		t.Fatalf("%d frames, error %v", frames, err)
	}
	if cut, err := w.cutLog(header, frames-1); cut || err != nil {
		t.Errorf("cut %v, error %v", cut, err)
	}
	if cut, err := w.cutLog(header, frames); !cut || err != nil {
		t.Errorf("of all frames: cut %v, error %v", cut, err)
	}
}

func TestExplain(t *testing.T) {
	const path = "/data/store.db"
	for _, c := range []struct {
		code        int
		errno       syscall.Errno
		want        error
		unavailable bool
	}{
		{sqlite3.SQLITE_BUSY, 0, ErrBusy, true},
		{sqlite3.SQLITE_BUSY_SNAPSHOT, 0, ErrBusy, true},
		{sqlite3.SQLITE_FULL, 0, ErrFull, true},
		{sqlite3.SQLITE_IOERR_WRITE, syscall.ENOSPC, ErrFull, true},
		{sqlite3.SQLITE_IOERR_WRITE, syscall.EFBIG, ErrFull, true},
		{sqlite3.SQLITE_IOERR_FSYNC, syscall.EIO, store.ErrUnavailable, true},
		{sqlite3.SQLITE_NOMEM, 0, store.ErrUnavailable, true},
		{sqlite3.SQLITE_CORRUPT, 0, ErrCorrupt, false},
		{sqlite3.SQLITE_NOTADB, 0, ErrCorrupt, false},
		{sqlite3.SQLITE_READONLY_DIRECTORY, 0, ErrReadOnly, false},
		{sqlite3.SQLITE_CANTOPEN, 0, ErrCannotOpen, false},
	} {
		err := explain(path, &sqliteError{code: c.code, errno: c.errno, msg: "why"})
		if !errors.Is(err, c.want) || errors.Is(err, store.ErrUnavailable) != c.unavailable || !strings.HasPrefix(err.Error(), path+": ") {
			t.Errorf("code %d: %v", c.code, err)
		}
	}
	if err := explain(path, store.ErrBurned); err != store.ErrBurned {
		t.Errorf("an answer became %v", err)
	}
}
