// Package hosts uses the program in agent frameworks and in hosts such as Claude Code,
// unmodified.
package hosts

import (
	"os"
	"testing"
	"time"
)

// patience is how long a test waits for a host, which starts slowly.
const patience = 5 * time.Minute

// bareEnv is an environment with a new home, these variables and the PATH of this
// process only: without keys, proxies and settings of hosts.
func bareEnv(t *testing.T, variables ...string) []string {
	t.Helper()
	env := append([]string{"HOME=" + t.TempDir(), "NO_PROXY=127.0.0.1", "NO_COLOR=1"}, variables...)
	for _, v := range env {
		if len(v) > 5 && v[:5] == "PATH=" {
			return env
		}
	}
	return append(env, "PATH="+os.Getenv("PATH"))
}
