//go:build unix

package private

import (
	"io/fs"
	"os"
	"syscall"
)

// forbidden gives the permissions that a file must not grant.
func forbidden(info fs.FileInfo) fs.FileMode {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid == 0 && os.Geteuid() != 0 {
		return 0o037
	}
	return 0o077
}

// giveTo gives a file that we made to the owner of another, if that is not us.
func giveTo(other fs.FileInfo, name string) error {
	st, ok := other.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) == os.Geteuid() {
		return nil
	}
	return os.Chown(name, int(st.Uid), int(st.Gid))
}

func makeDir(dir string) error { return os.MkdirAll(dir, 0o700) }

func rename(from, to string) error { return os.Rename(from, to) }

func open(path string) (*os.File, error) { return os.Open(path) }
