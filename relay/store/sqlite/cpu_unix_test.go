//go:build unix

package sqlite_test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cpu is the processor time this process has used: unlike operations per
// second it does not depend on how busy disk and machine are.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
