package files

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// onDisk refuses files that the kernel makes up: what they hold, such as the
// environment of this process, is no file of the user's.
func onDisk(f *os.File, _ bool) error {
	var s unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &s); err != nil {
		return err
	}
	switch s.Type {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC,
		unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.BPF_FS_MAGIC, unix.DEVPTS_SUPER_MAGIC:
		return refuse("%s is made up by the kernel, and no file of the user's", quote(f.Name()))
	}
	return nil
}

// openUnnamed makes a file without a name in a folder, where the file system can.
func openUnnamed(dir *os.File) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "a file without a name")
	if _, err := os.Stat(selfPath(f)); err != nil { // without /proc it can't get a name
		f.Close()
		return nil, err
	}
	return f, nil
}

// linkUnnamed gives it a name in a folder, unless there is such a file. The name has no
// folder in it, so no link can lead it astray.
func linkUnnamed(f, dir *os.File, name string) error {
	return unix.Linkat(unix.AT_FDCWD, selfPath(f), int(dir.Fd()), name, unix.AT_SYMLINK_FOLLOW)
}

func selfPath(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }
