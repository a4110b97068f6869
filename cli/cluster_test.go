package cli_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

// stormTime is how long a storm lasts: longer where everything is tested.
func stormTime() time.Duration {
	if os.Getenv("KUBBI_CI") == "1" && !racing() {
		return 20 * time.Second
	}
	return 4 * time.Second
}

// onFile gives the variables of relays that share a SQLite file.
func onFile(t *testing.T) []string { return []string{"KUBBI_DATA_DIR=" + t.TempDir()} }

// TestClusterOnFile kills three relays that share a SQLite file in turn, while
// 64 clients race for the same kubbis.
func TestClusterOnFile(t *testing.T) {
	t.Parallel()
	c := startCluster(t, onFile(t)...)
	s := newStorm(t, c.origins(), c.newKey("storm"))
	s.run(func(ctx context.Context) { c.killInTurn(ctx, stormTime(), 2*time.Second) })
	c.silent(s)
}

// TestClusterRotation rotates and prunes the master keys of three relays at
// work: no request fails.
func TestClusterRotation(t *testing.T) {
	t.Parallel()
	rotate(t, onFile(t))
}

func rotate(t *testing.T, env []string) {
	t.Helper()
	c := startCluster(t, env...)
	load, stop := startHandoffs(t, 8, c.newKey("storm"), c.origins()...)
	load.rotateUnder(c.run)
	stop()
	t.Logf("%d kubbis were handed over meanwhile", load.done.Load())
	for _, n := range c.nodes {
		if log := n.log.String(); strings.Contains(log, `"level":"ERROR"`) || !strings.Contains(log, "keyring has changed") {
			t.Errorf("logged: %.5000s", log)
		}
	}
}
