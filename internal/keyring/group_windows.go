package keyring

import "os/exec"

// inGroup leaves a command's children alone: only the command itself is ended.
func inGroup(*exec.Cmd) {}
