//go:build !linux

package secretfiles

import "os"

// parent is the folder for private folders.
func parent() string { return os.TempDir() }

func inMemory(string) bool { return false }
