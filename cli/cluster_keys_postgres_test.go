//go:build unix

package cli_test

import (
	"testing"

	"kubbi-mcp/relay/store/postgres/pgtest"
)

// TestClusterKeysOnPostgres uses up and revokes keys at three relays that share
// a data base, and a keyring.
func TestClusterKeysOnPostgres(t *testing.T) {
	url := pgtest.New(t).Database(t)
	startCluster(t, append(onFile(t), "KUBBI_STORE="+url)...).useUp()
}
