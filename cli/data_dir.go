package cli

import (
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/adrg/xdg"

	"kubbi-mcp/tools/files"
)

// dataDir is the folder of the embedded relay's store and of this program's state. Its error
// is a usage error that names the flag.
func (a *app) dataDir() (string, error) {
	dir := a.cfg.DataDir
	if dir == "" {
		home := dataHome()
		if home == "" {
			return "", usagef("no home directory is known: set --data-dir (KUBBI_DATA_DIR)")
		}
		dir = filepath.Join(home, "kubbi")
	}
	dir, err := absolute(dir)
	if err != nil {
		return "", usagef("--data-dir (KUBBI_DATA_DIR): %w", err)
	}
	return dir, nil
}

// absolute gives the absolute path of a setting, which is a path or a file URI. No
// shell has expanded its "~", and a host chooses the working directory of its servers.
func absolute(path string) (string, error) {
	path, err := files.ParsePath(path)
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

// dataHome is this platform's folder for user data, or "" if it is not known. Some
// hosts start their servers without HOME. Package xdg then uses the root directory,
// so the home directory is taken from the system's list of users.
var dataHome = sync.OnceValue(func() string {
	if runtime.GOOS == "windows" || os.Getenv("HOME") != "" {
		return xdg.DataHome
	}
	if home := homeInUserList(user.Current); home != "" {
		_ = os.Setenv("HOME", home) // "~" is expanded with it
		xdg.Reload()
		return xdg.DataHome
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return dir
	}
	return ""
})

// homeInUserList is the home directory in the system's list of users.
func homeInUserList(current func() (*user.User, error)) string {
	u, err := current()
	if err != nil || !filepath.IsAbs(u.HomeDir) || u.HomeDir == "/" {
		return ""
	}
	return u.HomeDir
}
