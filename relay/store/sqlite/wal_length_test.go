package sqlite_test

import (
	"os"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"kubbi-mcp/relay/store"
)

// When the store is idle, it cuts a log that a slow reader has made long.
func TestLongWALIsCut(t *testing.T) {
	path := storePath(t)
	s := openStore(t, path)
	reader, err := sqlite.OpenConn(path, sqlite.OpenReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for _, q := range []string{"BEGIN", "SELECT count(*) FROM kubbi"} {
		if err := sqlitex.ExecuteTransient(reader, q, nil); err != nil {
			t.Fatal(err)
		}
	}
	length := func() int64 {
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	for i := 0; length() < 24<<20; i++ {
		if i == 1000 {
			t.Fatalf("the log has %d bytes", length())
		}
		if _, err := s.Create(t.Context(), newKubbi(1), bytesOf(make([]byte, 200_000)), nil, store.Quota{}, t0); err != nil {
			t.Fatal(err)
		}
	}
	if err := sqlitex.ExecuteTransient(reader, "COMMIT", nil); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(15 * time.Second); length() > 17<<20; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the log still has %d bytes", length())
		}
	}
}
