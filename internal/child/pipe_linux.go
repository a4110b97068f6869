package child

import (
	"os"

	"golang.org/x/sys/unix"
)

// enlarge makes a pipe hold one read of output, so that the command waits less often.
func enlarge(pipe *os.File) {
	raw, err := pipe.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, chunk) })
}
