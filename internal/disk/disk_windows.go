package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// Free is how many bytes this user can still write to the file system of a folder.
func Free(dir string) (int64, error) {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(path, &free, nil, nil); err != nil {
		return 0, fmt.Errorf("ask for the free space of %s: %w", dir, err)
	}
	return int64(free), nil
}

// unsupported reports whether an error says that the file system does not support the
// call.
func unsupported(err error) bool { return errors.Is(err, windows.ERROR_INVALID_FUNCTION) }

// removeOlder removes a name as Windows did before it had POSIX semantics: the name
// disappears when the last handle to it is closed, in this process or another.
func removeOlder(root *os.Root, name string) error {
	f, err := root.OpenFile(name, os.O_RDONLY|windows.FILE_FLAG_DELETE_ON_CLOSE|windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	// Close does not report the result. A folder that is not empty stays.
	info, err := root.Lstat(name)
	switch {
	case err == nil && info.IsDir():
		return &fs.PathError{Op: "remove", Path: name, Err: windows.ERROR_DIR_NOT_EMPTY}
	case err == nil:
		return &fs.PathError{Op: "remove", Path: name, Err: windows.ERROR_SHARING_VIOLATION}
	}
	return nil
}
