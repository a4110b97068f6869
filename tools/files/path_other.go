//go:build !windows

package files

import "os"

// native gives a path as this system has it.
func native(path string) (string, bool) { return path, true }

// wholeName refuses nothing: a name here is the one that a folder lists.
func wholeName(*os.Root, string) error { return nil }

// invalidName is never so: any name that can be asked for can be there.
func invalidName(error) bool { return false }
