//go:build unix

package keyring

import (
	"os/exec"
	"syscall"
)

// inGroup makes the end of a command end all its children as well.
func inGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
