// Package secretfiles holds files that another program reads for a while: in memory
// where the platform has a file system there, for their owner alone, and wiped at the
// end.
package secretfiles

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"kubbi-mcp/internal/disk"
	"kubbi-mcp/internal/flock"
)

const (
	prefix   = "kubbi-run-"
	lockName = ".lock" // held while the folder is in use
	// leftAge keeps a folder whose process has not locked it yet.
	leftAge = time.Minute
)

// Folder is a private folder with files. It is for one goroutine at a time.
type Folder struct {
	path  string
	lock  *os.File
	files []*os.File

	closed []string // names of files that Written has closed
}

// New makes an empty folder. It also wipes the folders of processes of this user that
// were killed.
func New() (*Folder, error) {
	parent := parent()
	removeLeft(parent)
	path, err := os.MkdirTemp(parent, prefix) // its mode is 0700
	if err != nil {
		return nil, fmt.Errorf("make a private folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		if err = flock.Try(lock); err != nil {
			lock.Close()
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a private folder: %w", err), disk.RemoveAll(path))
	}
	return &Folder{path: path, lock: lock}, nil
}

// InMemory reports whether this platform has a place for files that is not on a disk.
// Such files may still be swapped out.
func InMemory() bool { return inMemory(parent()) }

// Path is the folder's absolute path.
func (f *Folder) Path() string { return f.path }

// FilePath is the absolute path of a file in the folder.
func (f *Folder) FilePath(name string) string { return filepath.Join(f.path, name) }

// Create makes an empty file with mode 0600. The folder closes it.
func (f *Folder) Create(name string) (io.Writer, error) {
	file, err := os.OpenFile(f.FilePath(name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make a private file: %w", err)
	}
	f.files = append(f.files, file)
	return file, nil
}

// Written says that all is written. On Windows a program can't read a file that another one has
// open for writing, so there it closes the files, and Wipe finds them by their names.
func (f *Folder) Written() error {
	if runtime.GOOS != "windows" {
		return nil
	}
	var faults []error
	for _, file := range f.files {
		faults = append(faults, file.Close())
		f.closed = append(f.closed, file.Name())
	}
	f.files = nil
	return errors.Join(faults...)
}

// Wipe overwrites the files and removes the folder with everything in it.
func (f *Folder) Wipe() error {
	for _, name := range f.closed {
		if file, err := os.OpenFile(name, os.O_RDWR, 0); err == nil {
			f.files = append(f.files, file)
		}
	}
	for _, file := range f.files {
		disk.Overwrite(file) // through its handle: another file may have its name by now
		file.Close()
	}
	f.files = nil
	f.lock.Close()
	if err := disk.RemoveAll(f.path); err != nil {
		return fmt.Errorf("remove the private folder: %w", err)
	}
	return nil
}

// removeLeft wipes folders that no process has locked.
func removeLeft(parent string) {
	found, err := filepath.Glob(filepath.Join(parent, prefix+"*"))
	if err != nil {
		return
	}
	for _, path := range found {
		info, err := os.Lstat(path)
		if err != nil || !info.IsDir() || !own(info) || time.Since(info.ModTime()) < leftAge {
			continue
		}
		lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR, 0)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			if err := flock.Try(lock); err != nil {
				lock.Close()
				continue
			}
		}
		left := &Folder{path: path, lock: lock}
		entries, _ := os.ReadDir(path)
		for _, e := range entries {
			if e.Type().IsRegular() {
				if file, err := os.OpenFile(filepath.Join(path, e.Name()), os.O_RDWR, 0); err == nil {
					left.files = append(left.files, file)
				}
			}
		}
		_ = left.Wipe()
	}
}
