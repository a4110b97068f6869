//go:build unix

package relay_test

import (
	"os"
	"testing"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/postgres"
	"kubbi-mcp/relay/store/postgres/pgtest"
)

var cluster pgtest.Cluster

func TestMain(m *testing.M) {
	code := m.Run()
	if err := cluster.Stop(); err != nil {
		println(err.Error())
		code = 1
	}
	os.Exit(code)
}

// overPostgres makes an opener of a new data base. It skips the test if no server is
// installed.
func overPostgres(t testing.TB) opener {
	url, temp := cluster.Database(t), t.TempDir()
	return func() (store.Store, error) {
		return postgres.Open(t.Context(), postgres.Config{URL: url + "&pool_max_conns=8", TempDir: temp})
	}
}
