//go:build !linux

package tools

import "errors"

// renameNew renames a file without replacing another one, where the system can.
func renameNew(_, _ string) error { return errors.ErrUnsupported }
