package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"kubbi-mcp/internal/private"
)

// makeDir makes the data directory, private, or checks the one that is there.
func makeDir(dir string) error {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := private.MakeDir(dir); err != nil {
			return err
		}
		info, err = os.Stat(dir)
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	// Who may write there may put in a keyring or a store of his own.
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o022 != 0 {
		return fmt.Errorf("%s may be written by others (mode %04o): make it private with chmod 700", dir, mode)
	}
	return nil
}
