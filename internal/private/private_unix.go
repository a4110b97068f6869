//go:build unix

package private

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"kubbi-mcp/internal/disk"
)

// forbidden are the permissions that a file must not grant.
func forbidden(info fs.FileInfo) fs.FileMode {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid == 0 && os.Geteuid() != 0 {
		return 0o037
	}
	return 0o077
}

// giveTo makes the owner of another file the owner of the named file.
func giveTo(other fs.FileInfo, name string) error {
	st, ok := other.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) == os.Geteuid() {
		return nil
	}
	return os.Chown(name, int(st.Uid), int(st.Gid))
}

// MakeDir makes a directory that only its owner can use, and missing directories above
// it. Their names are durable when it returns.
func MakeDir(dir string) error {
	made, err := missing(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, d := range made {
		// A parent that we can't read can't be synced. Most file systems write it soon
		// anyway.
		if err := disk.SyncFolder(filepath.Dir(d)); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}

// missing returns which of dir and the directories above it do not exist.
func missing(dir string) (dirs []string, err error) {
	for dir = filepath.Clean(dir); ; dir = filepath.Dir(dir) {
		_, err := os.Stat(dir)
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return dirs, err
		}
		dirs = append(dirs, dir)
	}
}

func rename(from, to string) error { return os.Rename(from, to) }

func open(path string) (*os.File, error) { return os.Open(path) }
