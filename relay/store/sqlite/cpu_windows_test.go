package sqlite_test

import (
	"testing"
	"time"
)

var childFull func(path string, args []string) error

// cpu is not known here.
func cpu(*testing.B) time.Duration { return 0 }
