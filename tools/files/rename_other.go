//go:build !linux

package files

import "os"

func renameNoReplace(root *os.Root, _ *os.File, from, to string) error {
	return lookAndRename(root, from, to)
}
