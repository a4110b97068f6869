package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"zombiezen.com/go/sqlite"

	"kubbi-mcp/relay/store"
)

// The errors of this backend, matched with errors.Is. Each comes wrapped in one
// that names the file and says what to do. ErrFull and ErrBusy are also
// store.ErrUnavailable, and ErrFull is store.ErrFull.
var (
	ErrNewer      = errors.New("store was written by a newer version")
	ErrCorrupt    = errors.New("store is damaged or not a kubbi store")
	ErrReadOnly   = errors.New("store can't be written")
	ErrCannotOpen = errors.New("store can't be opened")
	ErrFull       = errors.New("disk is full")
	ErrBusy       = errors.New("store is locked by another process")
	ErrOlder      = errors.New("store was written by an older version")
	ErrLost       = errors.New("a part of the store is missing")
	ErrClosed     = errors.New("store is closed")
)

// explain turns an error of SQLite about the file at path, or of a file beside it,
// into one that says what is wrong and what to do. Every other error is returned
// as it is.
func explain(path string, err error) error {
	var e *engineError
	if !errors.As(err, &e) {
		var file *fs.PathError
		switch {
		case isFull(err):
			return full(path, err)
		case errors.As(err, &file) && errors.Is(err, fs.ErrPermission):
			return readOnly(path, err)
		case errors.As(err, &file):
			return fmt.Errorf("%s: %w: check the disk it is on: %w", path, store.ErrUnavailable, err)
		}
		return err
	}
	switch e.code().ToPrimary() {
	case sqlite.ResultNotADB, sqlite.ResultCorrupt:
		return corrupt(path, err.Error())
	case sqlite.ResultReadOnly, sqlite.ResultPerm, sqlite.ResultAuth:
		return readOnly(path, err)
	case sqlite.ResultCantOpen:
		return cannotOpen(path, err)
	case sqlite.ResultFull:
		return full(path, err)
	case sqlite.ResultBusy, sqlite.ResultLocked, sqlite.ResultProtocol:
		return busy(path, err)
	case sqlite.ResultIOErr:
		// A quota or a limit of the file's size is not told apart from a broken disk.
		if e.code() == sqlite.ResultIOErrWrite || e.code() == sqlite.ResultIOErrSHMSize || e.code() == sqlite.ResultIOErrTruncate {
			if noRoom(filepath.Dir(path)) {
				return full(path, err)
			}
		}
		return fmt.Errorf("%s: %w: check the disk it is on: %w", path, store.ErrUnavailable, err)
	case sqlite.ResultError:
		// Every statement was good when the store was opened.
		return fmt.Errorf("%s: %w: it has changed the schema while this program was running, which must be started again: %w", path, ErrNewer, err)
	case sqlite.ResultNoMem:
		return fmt.Errorf("%s: %w: %w", path, store.ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", path, err)
}

func corrupt(path, why string) error {
	return fmt.Errorf("%s: %w (%s): restore it from a backup, or move it, %s-wal and %s-shm elsewhere to start afresh",
		path, ErrCorrupt, why, filepath.Base(path), filepath.Base(path))
}

func readOnly(path string, err error) error {
	return fmt.Errorf("%s: %w: give this user write permission to the file and to %s: %w",
		path, ErrReadOnly, filepath.Dir(path), err)
}

func cannotOpen(path string, err error) error {
	return fmt.Errorf("%s: %w: check that %s is a directory this user may write to: %w",
		path, ErrCannotOpen, filepath.Dir(path), err)
}

func busy(path string, err error) error {
	return fmt.Errorf("%s: %w: another process holds it too long, try again: %w: %w",
		path, ErrBusy, store.ErrUnavailable, err)
}
