// Package private reads and writes small files with secrets. Only the owner can read such
// a file. A write replaces the whole file and is durable.
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

// Read reads a file of at most 1 MiB, and refuses a file that others can read. If root
// owns the file, its group may read it too: secret managers mount files into containers in
// this way.
func Read(path string) ([]byte, error) {
	info, err := os.Stat(path) // opening a pipe may block for ever
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

// Create makes a private, durable file with data, unless the file exists. It returns the
// content of the file. Processes that create the file at the same time all get the same
// content.
func Create(path string, data []byte) ([]byte, error) {
	temp, err := write(path, data)
	if err != nil {
		return nil, err
	}
	defer os.Remove(temp) // not needed any more
	// Unlike a rename, a link never replaces a file.
	if err := os.Link(temp, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := disk.SyncFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	return Read(path)
}

// Edit durably replaces the content of a file by the result of edit, unless edit returns
// an error or nil. Concurrent edits of one file run one after the other; their lock file
// stays beside the file. The file keeps its owner, since an administrator may edit the file
// of a service.
func Edit(ctx context.Context, path string, edit func([]byte) ([]byte, error)) (err error) {
	// A symbolic link stays one.
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
	return replace(path, data, func(temp string) error { return giveTo(info, temp) })
}

// Replace durably puts data in the place of a file that need not be private, in one step. It
// gets mode and owner of like, or is private if like is nil.
func Replace(path string, data []byte, like fs.FileInfo) error {
	return replace(path, data, func(temp string) error {
		if like == nil {
			return nil
		}
		return errors.Join(giveTo(like, temp), os.Chmod(temp, like.Mode().Perm()))
	})
}

// replace puts a temporary file, which prepare may change, in the place of a file.
func replace(path string, data []byte, prepare func(temp string) error) error {
	temp, err := write(path, data)
	if err != nil {
		return err
	}
	if err = prepare(temp); err == nil {
		err = rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return disk.SyncFolder(filepath.Dir(path))
}

// Remove overwrites a file and removes it, durably. A reader finds the whole file or none.
func Remove(path string) error {
	gone := path + ".gone"
	if err := rename(path, gone); err != nil {
		return err
	}
	f, err := os.OpenFile(gone, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	disk.Overwrite(f)
	if err := errors.Join(f.Close(), os.Remove(gone)); err != nil {
		return err
	}
	return disk.SyncFolder(filepath.Dir(path))
}

// write makes a durable temporary file beside path, and returns its name.
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
