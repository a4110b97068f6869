// Package private reads and writes small files that hold secrets: readable by
// their owner alone, whole and durable.
package private

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"kubbi-mcp/internal/disk"
	"kubbi-mcp/internal/flock"
)

const maxFile = 1 << 20 // bytes

// MakeDir makes a directory, and those above it, that its owner alone may use, and
// makes their names durable.
func MakeDir(dir string) error { return makeDir(dir) }

// Read reads a file of at most 1 MiB, and refuses one that others may read. A
// file of root's may be read by a group of ours: secret managers that mount
// files into a container hand them out so.
func Read(path string) ([]byte, error) {
	info, err := os.Stat(path) // to open a pipe may take for ever
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&forbidden(info) != 0 {
		return nil, fmt.Errorf("%s may be read by others (mode %04o): make it private with chmod 600", path, mode)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return b, nil
}

// Create makes a private file of data, whole and durable, unless there is
// one by the time it is ready, and gives what the file holds then: of several
// processes that do so at once, all get the same.
func Create(path string, data []byte) ([]byte, error) {
	temp, err := write(path, data)
	if err != nil {
		return nil, err
	}
	defer os.Remove(temp) // of no more use, whatever came of it
	// Unlike a rename, a link never replaces what is there.
	if err := os.Link(temp, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := disk.SyncFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	return Read(path)
}

// Edit replaces what a file holds by what edit makes of it, whole and durable,
// unless edit gives an error or nil. Several that edit one file do so one after
// the other; a lock file beside it, which stays, sees to that. The file keeps
// its owner: an administrator may edit that of a service.
func Edit(ctx context.Context, path string, edit func([]byte) ([]byte, error)) (err error) {
	// A name that leads elsewhere goes on doing so.
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := giveTo(info, lock.Name()); err != nil {
		return err
	}
	if err := flock.Poll(ctx, lock); err != nil {
		return fmt.Errorf("lock %s: %w", path, err)
	}
	old, err := Read(path)
	if err != nil {
		return err
	}
	data, err := edit(old)
	if err != nil || data == nil {
		return err
	}
	temp, err := write(path, data)
	if err != nil {
		return err
	}
	if err = giveTo(info, temp); err == nil {
		err = rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return disk.SyncFolder(filepath.Dir(path))
}

// write makes a durable temporary file beside path, and gives its name.
func write(path string, data []byte) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp") // 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}
