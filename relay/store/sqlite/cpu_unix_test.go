//go:build unix

package sqlite_test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cpu is the processor time that this process has used. Unlike operations per second it
// does not depend on the load of disk and machine.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
