package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// fileLock makes the processes that write one store queue up. SQLite's own lock
// would do for correctness, but it is waited for in growing sleeps, so that a
// busy process starves the others: with three of them the 99th percentile of a
// write was several times as long. Polling this one for a lock that comes free
// cost two thirds of the throughput against a lock call that blocks.
//
// It is for one goroutine at a time.
type fileLock struct {
	f *os.File
	// granted is what a blocking lock call came to. Such a call can't be
	// ended: while one is under way, pending is set and the next acquire waits
	// for the same one.
	granted chan error
	pending bool
}

// errLocked is try's answer when somebody else holds the lock.
var errLocked = errors.New("locked")

// lockPath is store.lock for store.db.
func lockPath(path string) string {
	return strings.TrimSuffix(path, filepath.Ext(path)) + ".lock"
}

// openLock makes or opens the lock file of the store at path. It stays empty
// and is never removed.
func openLock(path string) (*fileLock, error) {
	f, err := os.OpenFile(lockPath(path), os.O_RDWR|os.O_CREATE, 0o600)
	switch {
	case errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS):
		return nil, readOnly(path, err)
	case err != nil:
		return nil, cannotOpen(path, err)
	}
	return &fileLock{f: f, granted: make(chan error, 1)}, nil
}

// acquire waits for the lock until ctx ends.
func (l *fileLock) acquire(ctx context.Context) error {
	if !l.pending {
		err := try(l.f)
		if err == nil {
			return nil
		}
		if !errors.Is(err, errLocked) {
			return fmt.Errorf("lock %s: %w", l.f.Name(), err)
		}
		l.pending = true
		go func() { l.granted <- block(l.f) }()
	}
	select {
	case err := <-l.granted:
		l.pending = false
		if err != nil {
			return fmt.Errorf("lock %s: %w", l.f.Name(), err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("lock %s: %w", l.f.Name(), ctx.Err())
	}
}

func (l *fileLock) release() error { return unlock(l.f) }

// close lets go of the lock. A lock call that is still under way ends when the
// process that holds the lock lets go of it or ends.
func (l *fileLock) close() {
	if !l.pending {
		l.f.Close()
		return
	}
	go func() {
		<-l.granted
		l.f.Close()
	}()
}
