//go:build !windows

package remove

import "os"

// unsupported is never so here.
func unsupported(error) bool { return false }

func older(root *os.Root, name string) error { return root.Remove(name) }
