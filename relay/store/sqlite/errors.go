package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"zombiezen.com/go/sqlite"

	"kubbi-mcp/internal/disk"
	"kubbi-mcp/relay/store"
)

// The errors of this backend, matched with errors.Is. Each is wrapped in one
// that names the file and says what to do. ErrFull and ErrBusy are also
// store.ErrUnavailable, and ErrFull is store.ErrFull.
var (
	ErrCorrupt    = errors.New("store is damaged or not a kubbi store")
	ErrReadOnly   = errors.New("store can't be written")
	ErrCannotOpen = errors.New("store can't be opened")
	ErrFull       = errors.New("disk is full")
	ErrBusy       = errors.New("store is locked by another process")
	ErrLost       = errors.New("a part of the store is missing")
)

// explain turns an error of SQLite, or of a file beside the data base at path, into an error
// that says what is wrong and what to do. It returns other errors unchanged.
func explain(path string, err error) error {
	e, ok := errors.AsType[*engineError](err)
	if !ok {
		_, file := errors.AsType[*fs.PathError](err)
		switch {
		case isFull(err):
			return full(path, err)
		case file && errors.Is(err, fs.ErrPermission):
			return readOnly(path, err)
		case file:
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
		// SQLite has one code for a full disk, a disk quota and a broken disk.
		if e.code() == sqlite.ResultIOErrWrite || e.code() == sqlite.ResultIOErrSHMSize || e.code() == sqlite.ResultIOErrTruncate {
			if free, ferr := disk.Free(filepath.Dir(path)); ferr == nil && free < 1<<20 {
				return full(path, err)
			}
		}
		return fmt.Errorf("%s: %w: check the disk it is on: %w", path, store.ErrUnavailable, err)
	case sqlite.ResultError:
		// Every statement was valid when the store was opened.
		return fmt.Errorf("%s: %w: it has changed the schema while this program was running, which must be started again: %w", path, store.ErrNewer, err)
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
	if errors.Is(err, ErrCannotOpen) {
		return err // it says so already
	}
	if info, statErr := os.Stat(path); statErr == nil && info.IsDir() {
		return fmt.Errorf("%s: %w: it is a folder: give a file in it, as %s: %w", path, ErrCannotOpen, filepath.Join(path, "kubbi.db"), err)
	}
	return fmt.Errorf("%s: %w: check that %s is a directory this user may write to: %w",
		path, ErrCannotOpen, filepath.Dir(path), err)
}

func busy(path string, err error) error {
	return fmt.Errorf("%s: %w: another process holds it too long, try again: %w: %w",
		path, ErrBusy, store.ErrUnavailable, err)
}

// full is the error for a full disk. It says how much space is left.
func full(path string, err error) error {
	dir := filepath.Dir(path)
	left := ""
	if free, ferr := disk.Free(dir); ferr == nil {
		left = fmt.Sprintf(" (%s are free)", disk.MiB(free))
	}
	return fmt.Errorf("%s: %w%s: make room on the disk of %s, no restart is needed: %w: %w: %w",
		path, ErrFull, left, dir, store.ErrFull, store.ErrUnavailable, err)
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}
