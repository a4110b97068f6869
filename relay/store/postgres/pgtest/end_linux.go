package pgtest

import "syscall"

// endWithParent ends the server, orderly and at once, when the test binary is killed.
func endWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGINT }
