//go:build !windows && (!unix || solaris || aix)

package sqlite

import "os"

// Without flock SQLite's own lock is all there is: correct, less fair.

func try(*os.File) error { return nil }

func unlock(*os.File) error { return nil }
