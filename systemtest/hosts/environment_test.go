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

// passedOn are the variables of this process that a host gets: where programs are, and where
// Node.js and Python keep what they have compiled. Dozens of processes load the same large
// frameworks.
var passedOn = []string{"PATH", "NODE_COMPILE_CACHE", "PYTHONPYCACHEPREFIX"}

// bareEnv is an environment with a new home, the variables of passedOn and these variables
// only: without keys, proxies and settings of hosts.
func bareEnv(t *testing.T, variables ...string) []string {
	t.Helper()
	env := []string{"HOME=" + t.TempDir(), "NO_PROXY=127.0.0.1", "NO_COLOR=1", "PYTHONUTF8=1"}
	for _, name := range passedOn {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	if os.Getenv("PYTHONPYCACHEPREFIX") == "" {
		env = append(env, "PYTHONDONTWRITEBYTECODE=1") // not beside the sources
	}
	return append(env, variables...) // the last of two values counts
}
