package pgtest

import "syscall"

// endWithParent has the server end, orderly and at once, when a test binary
// was killed.
func endWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGINT }
