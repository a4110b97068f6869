// Package flock locks a file against other processes, and against other opens
// of it in this one. The lock goes when the file is closed or the process ends.
package flock

import (
	"context"
	"errors"
	"os"
	"time"
)

// ErrLocked is Try's answer when somebody else holds the lock.
var ErrLocked = errors.New("locked")

// Poll locks the file once nobody else holds it, or returns ctx's error. It
// looks now and then: for a lock that is seldom waited for.
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
