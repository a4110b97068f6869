package transport

import "golang.org/x/sys/windows"

// brokenPipe is what a write to a pipe fails with when nobody reads any more.
var brokenPipe = []error{windows.ERROR_BROKEN_PIPE, windows.ERROR_NO_DATA, windows.ERROR_PIPE_NOT_CONNECTED}
