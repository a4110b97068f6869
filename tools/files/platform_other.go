//go:build unix && !linux

package files

import (
	"errors"
	"os"
)

// onDisk refuses nothing where the kernel makes up no files.
func onDisk(*os.File, bool) error { return nil }

func openUnnamed(*os.File) (*os.File, error) { return nil, errors.ErrUnsupported }

func linkUnnamed(_, _ *os.File, _ string) error { return errors.ErrUnsupported }
