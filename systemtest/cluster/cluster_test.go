// Package cluster tests several relays over one store, while they and the store are
// killed.
package cluster

import (
	"context"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
)

// How often a storm is disturbed. Counts, and not a time: a slow machine tests as much as a
// fast one.
const (
	stormKills    = 6 // each node twice
	stormRestarts = 6 // of the server of the data base
	stormCuts     = 12
)

// onFile gives the variables of relays that share a SQLite file.
func onFile(t *testing.T) []string { return []string{"KUBBI_DATA_DIR=" + t.TempDir()} }

// TestClusterOnFile kills three relays that share a SQLite file in turn, while
// 64 clients race for the same kubbis.
func TestClusterOnFile(t *testing.T) {
	testkit.OnlyCI(t, "a storm of 64 clients")
	t.Parallel()
	killUnderStorm(t, onFile(t))
}

// killUnderStorm kills three relays in turn during a storm.
func killUnderStorm(t *testing.T, env []string) {
	t.Helper()
	c := startCluster(t, env...)
	s := newStorm(t, c.origins(), c.newKey("storm"))
	s.run(func(ctx context.Context) {
		requests := startRequests(ctx, c)
		c.killInTurn(ctx, stormKills)
		requests.finish(ctx)
	})
	c.silent(s)
}

// TestClusterRotation rotates and prunes the master keys of three relays at
// work: no request fails.
func TestClusterRotation(t *testing.T) {
	testkit.OnlyCI(t, "loads three relays for ten seconds")
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
