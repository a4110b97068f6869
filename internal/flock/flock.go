// Package flock locks a file against other processes, and against other opens of
// it in this process. The lock ends when the file is closed or the process ends.
// Others can still read and write the file.
package flock

import (
	"context"
	"errors"
	"os"
	"time"
)

// ErrLocked is Try's error when somebody else holds the lock.
var ErrLocked = errors.New("locked")

// Poll locks the file once nobody else holds it, or returns ctx's error. It tries
// every 20 ms: good for a lock that is rarely held.
func Poll(ctx context.Context, f *os.File) error {
	for {
		err := Try(f)
		if !errors.Is(err, ErrLocked) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
