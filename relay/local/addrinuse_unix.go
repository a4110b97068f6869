//go:build unix

package local

import "golang.org/x/sys/unix"

const errAddrInUse = unix.EADDRINUSE
