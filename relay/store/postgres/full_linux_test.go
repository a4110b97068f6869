package postgres_test

import (
	"os"
	"path/filepath"
	"testing"

	"kubbi-mcp/relay/store/postgres/pgtest"
)

// TestDiskIsFull gives the server a small disk of its own, and fills it twice:
// a server that can't write its log crashes, and may stay down until somebody
// starts it again.
func TestDiskIsFull(t *testing.T) {
	disk := pgtest.SmallDisk(t, "96m")
	own := &pgtest.Cluster{Dir: disk, Settings: []string{"fsync = on", "min_wal_size = 32MB", "max_wal_size = 32MB", "checkpoint_timeout = 30s"}}
	t.Cleanup(func() {
		if err := own.Stop(); err != nil {
			t.Error(err)
		}
	})
	url := own.Database(t)
	l := startLoad(t, 20_000, openStore(t, url), openStore(t, url))
	for range 2 {
		before := l.done()
		wait(t, "work to go on", func() bool { return l.done() > before+20 })
		ballast := filepath.Join(disk, "ballast")
		pgtest.Fill(t, ballast)
		failed := l.failed()
		wait(t, "calls to fail", func() bool { return l.failed() >= failed+16 })
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		if err := own.Revive(); err != nil {
			t.Fatal(err)
		}
	}
	l.finish(t)
}
