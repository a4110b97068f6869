package sqlite

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"

	sqlite3 "modernc.org/sqlite/lib"

	"kubbi-mcp/relay/store"
)

// The errors of this backend, matched with errors.Is. Each comes wrapped in one
// that names the file and says what to do. ErrFull and ErrBusy are also
// store.ErrUnavailable.
var (
	ErrNewer      = errors.New("store was written by a newer version")
	ErrCorrupt    = errors.New("store is damaged or not a kubbi store")
	ErrReadOnly   = errors.New("store can't be written")
	ErrCannotOpen = errors.New("store can't be opened")
	ErrFull       = errors.New("disk is full")
	ErrBusy       = errors.New("store is locked by another process")
	ErrClosed     = errors.New("store is closed")
)

// explain turns an error of SQLite about the file at path into one that says
// what is wrong and what to do. Every other error is returned as it is.
func explain(path string, err error) error {
	var e *sqliteError
	if !errors.As(err, &e) {
		return err
	}
	switch e.code & 0xff {
	case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
		return corrupt(path, err.Error())
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
		return readOnly(path, err)
	case sqlite3.SQLITE_CANTOPEN:
		return cannotOpen(path, err)
	case sqlite3.SQLITE_FULL:
		return full(path, err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL:
		return busy(path, err)
	case sqlite3.SQLITE_IOERR:
		switch e.errno {
		case syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG:
			return full(path, err)
		}
		return fmt.Errorf("%s: %w: check the disk it is on: %w", path, store.ErrUnavailable, err)
	case sqlite3.SQLITE_ERROR:
		// Every statement was good when the store was opened.
		return fmt.Errorf("%s: %w: it has changed the schema while this program was running, which must be started again: %w", path, ErrNewer, err)
	case sqlite3.SQLITE_NOMEM:
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

func full(path string, err error) error {
	return fmt.Errorf("%s: %w: make room on the disk of %s, no restart is needed: %w: %w",
		path, ErrFull, filepath.Dir(path), store.ErrUnavailable, err)
}

func busy(path string, err error) error {
	return fmt.Errorf("%s: %w: another process holds it too long, try again: %w: %w",
		path, ErrBusy, store.ErrUnavailable, err)
}
