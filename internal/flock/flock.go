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

// ErrLocked is the error of Try when the file is locked already.
var ErrLocked = errors.New("locked")

// Poll waits until it has locked the file, or until ctx ends, whose error it then returns.
// It tries every 20 ms, so it is for locks that are rarely held.
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
