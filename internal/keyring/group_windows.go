package keyring

import "os/exec"

// inGroup does nothing here: only the command itself is ended.
func inGroup(*exec.Cmd) {}
