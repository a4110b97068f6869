package sqlite_test

import (
	"path/filepath"
	"testing"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/sqlite"
	"kubbi-mcp/relay/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Open {
		path := filepath.Join(t.TempDir(), "kubbi.db")
		return func(t *testing.T) store.Store { return openStore(t, path) }
	})
}

func openStore(t testing.TB, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
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
