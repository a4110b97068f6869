package files

import (
	"os"

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
