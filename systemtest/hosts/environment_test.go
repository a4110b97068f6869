package hosts

import (
	"os"
	"testing"
	"time"
)

// patience ends a wait for another process that will never be over.
const patience = 5 * time.Minute

// bareEnv is an environment with the variables given and no others of this
// process but PATH: no key, no proxy and no host's settings reach what runs in
// it. Its home is new.
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
