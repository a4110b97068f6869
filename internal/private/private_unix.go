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

func makeDir(dir string) error {
	made, err := missing(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, d := range made {
		// A parent that we may not read cannot be synced: nothing is lost but what
		// the file system does not promise by itself.
		if err := disk.SyncFolder(filepath.Dir(d)); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}

// missing gives the directories that are not there, of dir and those above it.
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
