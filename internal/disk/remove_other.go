//go:build !windows

package disk

import "os"

// unsupported is false: only Windows has such file systems.
func unsupported(error) bool { return false }

func removeOlder(root *os.Root, name string) error { return root.Remove(name) }
