package sqlite_test

import (
	"testing"
	"time"
)

// childFull needs a limit on the size of files, which Windows has not.
var childFull func(path string, args []string) error

// cpu is not known here.
func cpu(*testing.B) time.Duration { return 0 }
