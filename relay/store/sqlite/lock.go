package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// fileLock makes the processes that write one store queue up. SQLite's own lock
// would do for correctness, but it is waited for in growing sleeps, so that a
// busy process starves the others. Whoever wants the lock takes the turn first
// and keeps it until it has the lock: a process that has just let go of the
// lock can't take it again before the one that waits.
type fileLock struct {
	turn, lock *os.File
}

// errLocked is try's answer when somebody else holds the lock.
var errLocked = errors.New("locked")

// openLock makes or opens the lock files of the store at path: store.lock and
// store.turn for store.db. They stay empty and are never removed.
func openLock(path string) (*fileLock, error) {
	base := strings.TrimSuffix(path, filepath.Ext(path))
	turn, err := os.OpenFile(base+".turn", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(base+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		turn.Close()
		return nil, err
	}
	return &fileLock{turn: turn, lock: lock}, nil
}

// acquire waits for the lock until ctx ends.
func (l *fileLock) acquire(ctx context.Context) error {
	if err := wait(ctx, l.turn); err != nil {
		return err
	}
	err := wait(ctx, l.lock)
	if uerr := unlock(l.turn); err == nil && uerr != nil {
		unlock(l.lock)
		err = uerr
	}
	return err
}

func (l *fileLock) release() error { return unlock(l.lock) }

func (l *fileLock) close() {
	l.turn.Close()
	l.lock.Close()
}

// wait polls: a blocking lock call could neither be ended by ctx nor, if the
// holder is stopped, ever end.
func wait(ctx context.Context, f *os.File) error {
	pause := 50 * time.Microsecond
	for {
		err := try(f)
		if !errors.Is(err, errLocked) {
			if err != nil {
				return fmt.Errorf("lock %s: %w", f.Name(), err)
			}
			return nil
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("lock %s: %w", f.Name(), ctx.Err())
		}
		pause = min(2*pause, time.Millisecond)
	}
}
