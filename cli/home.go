package cli

import (
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/adrg/xdg"
)

// dataHome is this platform's place for user data; empty if nobody knows it. Some
// hosts start their servers without HOME, for which package xdg takes the root
// directory: the user's entry in the system says better.
var dataHome = sync.OnceValue(func() string {
	if runtime.GOOS != "windows" && os.Getenv("HOME") == "" {
		home := homeWithoutVariable(user.Current)
		if home == "" {
			if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
				return dir
			}
			return ""
		}
		_ = os.Setenv("HOME", home) // "~" stands for it as well
		xdg.Reload()
	}
	return xdg.DataHome
})

// homeWithoutVariable is the home directory in the system's list of users.
func homeWithoutVariable(current func() (*user.User, error)) string {
	u, err := current()
	if err != nil || !filepath.IsAbs(u.HomeDir) || u.HomeDir == "/" {
		return ""
	}
	return u.HomeDir
}
