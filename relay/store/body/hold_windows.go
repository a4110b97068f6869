package body

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// hold has nothing to do: whoever writes a file has it open, and that shows.
func hold(*os.File) error { return nil }

// abandoned opens a file that nobody else has open, and lets nobody open it; it is
// nil for another one.
func abandoned(path string) (*os.File, error) {
	p, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	h, err := windows.CreateFile(p, windows.GENERIC_READ, 0, nil, windows.OPEN_EXISTING, windows.FILE_ATTRIBUTE_NORMAL, 0)
	if errors.Is(err, windows.ERROR_SHARING_VIOLATION) {
		return nil, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(h), path), nil
}

// removeOpen closes the file and removes it, unless somebody has opened it in
// between: the next sweep does it then.
func removeOpen(f *os.File) (bool, error) {
	if err := f.Close(); err != nil {
		return false, err
	}
	err := os.Remove(f.Name())
	if errors.Is(err, windows.ERROR_SHARING_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}
