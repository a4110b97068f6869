//go:build unix

package cluster

import (
	"testing"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/relay/store/postgres/pgtest"
)

// TestClusterKeysOnPostgres uses up and revokes keys at three relays that share
// a data base, and a keyring.
func TestClusterKeysOnPostgres(t *testing.T) {
	testkit.OnlyCI(t, "loads three relays for seconds")
	url := pgtest.New(t).Database(t)
	startCluster(t, append(onFile(t), "KUBBI_STORE="+url)...).useUp()
}
