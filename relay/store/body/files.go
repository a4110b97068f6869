package body

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"kubbi-mcp/internal/disk"
	"kubbi-mcp/internal/flock"
)

// The errors of Files, matched with errors.Is.
var (
	ErrExists = errors.New("a payload with that number is there")
	ErrShort  = errors.New("the file of the payload is missing or too short")
)

// Files is a folder with a file for each large payload, named after its number.
type Files struct{ dir string }

// OpenFiles opens the folder, and makes it if it is missing.
func OpenFiles(dir string) (*Files, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return &Files{dir}, nil
}

func (f *Files) path(number int64) string {
	return filepath.Join(f.dir, fmt.Sprintf("%016x", uint64(number)))
}

// File is a payload that is being written. It is locked until Close, so that Sweep does not
// remove it.
type File struct {
	f       *os.File
	dir     string
	written int64
	flushed int64 // bytes for which a write to the disk has begun
}

// flushBytes is after how many written bytes a write to the disk begins. With fewer bytes
// other writers wait less; with more the payload is written faster. Measured: with 4 MiB,
// 596 MB/s, and the p99 of concurrent small creates is 5.2 times as long as without; with
// 1 MiB, 461 MB/s and 3.3 times; with 512 KiB, 466 MB/s and 2.4 times.
const flushBytes = 512 << 10

// Create makes the file of a payload. If the file exists, the error is ErrExists.
func (f *Files) Create(number int64) (*File, error) {
	file, err := os.OpenFile(f.path(number), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, ErrExists
	}
	if err != nil {
		return nil, err
	}
	if err := flock.Try(file); err != nil {
		file.Close()
		return nil, errors.Join(err, os.Remove(file.Name()))
	}
	return &File{f: file, dir: f.dir}, nil
}

// Write appends to the payload.
func (f *File) Write(p []byte) (int, error) {
	n, err := f.f.Write(p)
	f.written += int64(n)
	if more := f.written - f.flushed; more >= flushBytes {
		disk.WriteBehind(f.f, f.flushed, more)
		f.flushed = f.written
	}
	return n, err
}

// Size is how many bytes were written.
func (f *File) Size() int64 { return f.written }

// Sync makes the payload durable.
func (f *File) Sync() error {
	if err := f.f.Sync(); err != nil {
		return err
	}
	return disk.SyncFolder(f.dir)
}

// Close ends the writing and keeps the file.
func (f *File) Close() error { return f.f.Close() }

// Discard ends the writing and removes the file.
func (f *File) Discard() error {
	return errors.Join(f.f.Close(), os.Remove(f.f.Name()))
}

// Open opens the file of a payload. If the file is missing or does not have size bytes, the
// error is ErrShort.
func (f *Files) Open(number, size int64) (*os.File, error) {
	file, err := os.Open(f.path(number))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrShort
	}
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.Size() != size {
		err = ErrShort
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// Remove removes the file of a wiped payload. A missing file is no error. On Windows it is an
// error if the file is open.
func (f *Files) Remove(number int64) error {
	if err := os.Remove(f.path(number)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Numbers returns the numbers of all files.
func (f *Files) Numbers() ([]int64, error) {
	entries, err := os.ReadDir(f.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var numbers []int64
	for _, e := range entries {
		if n, err := strconv.ParseUint(e.Name(), 16, 64); err == nil && len(e.Name()) == 16 {
			numbers = append(numbers, int64(n))
		}
	}
	return numbers, err
}

// settleTime is the age below which Sweep does not remove a file without a lock: it may have
// just been made, and not be locked yet.
const settleTime = 2 * time.Second

// Sweep removes a file that belongs to no row, and reports whether it did. It keeps a file
// that is being written. After that check it calls wanted, which reports whether there is a
// row by now.
func (f *Files) Sweep(number int64, wanted func() (bool, error)) (bool, error) {
	path := f.path(number)
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	keep, err := inUse(file)
	if err == nil && !keep {
		keep, err = wanted()
	}
	// The row of a cancelled create may still come, but that create is not acknowledged.
	if err = errors.Join(err, file.Close()); err != nil || keep {
		return false, err
	}
	const sharingViolation = syscall.Errno(32)
	err = os.Remove(path)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, fs.ErrNotExist): // another process has removed it
		return false, nil
	case runtime.GOOS == "windows" && errors.Is(err, sharingViolation): // somebody reads it
		return false, nil
	}
	return false, err
}

// inUse reports whether a file is being written. If not, it locks the file.
func inUse(file *os.File) (bool, error) {
	if err := flock.Try(file); err != nil {
		if errors.Is(err, flock.ErrLocked) {
			return true, nil
		}
		return false, err
	}
	info, err := file.Stat()
	if err != nil {
		return false, err
	}
	age := time.Since(info.ModTime())
	return 0 <= age && age < settleTime, nil
}
