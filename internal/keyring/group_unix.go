//go:build unix

package keyring

import (
	"os/exec"
	"syscall"
)

// inGroup makes a cancelled command end together with all its children.
func inGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
