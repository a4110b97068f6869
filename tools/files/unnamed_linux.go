package files

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// openUnnamed makes a file in a folder that has no name there yet, where the file
// system can do so.
func openUnnamed(dir *os.File) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "a file without a name")
	if _, err := os.Stat(selfPath(f)); err != nil { // no /proc, and so no way to name it
		f.Close()
		return nil, err
	}
	return f, nil
}

// linkUnnamed gives it a name in that folder, unless there is such a file. The
// name is a plain one, so there is nothing for a link to lead astray.
func linkUnnamed(f, dir *os.File, name string) error {
	return unix.Linkat(unix.AT_FDCWD, selfPath(f), int(dir.Fd()), name, unix.AT_SYMLINK_FOLLOW)
}

func selfPath(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }
