//go:build unix

package postgres_test

import (
	"os"
	"testing"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/postgres"
	"kubbi-mcp/relay/store/postgres/pgtest"
	"kubbi-mcp/relay/store/storetest"
)

// cluster is shared by all tests that do not stop it.
var cluster pgtest.Cluster

func TestMain(m *testing.M) {
	code := m.Run()
	if err := cluster.Stop(); err != nil {
		println(err.Error())
		code = 1
	}
	os.Exit(code)
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Open {
		url := cluster.Schema(t)
		return func(t *testing.T) store.Store { return openStore(t, url) }
	})
}

func openStore(t testing.TB, url string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), postgres.Config{URL: url + "&pool_max_conns=8", TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}
