//go:build !windows

package transport

import "syscall"

// brokenPipe is what a write to a pipe fails with when nobody reads any more.
var brokenPipe = []error{syscall.EPIPE}
