package postgres_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/postgres/pgtest"
)

// TestDiskIsFull gives the server a small disk, and fills it twice. A server that can't
// write its log crashes, and may stay down until it is started again.
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

// TestCreateOnAFullDisk has a server with a full disk for its tables, but not for its log.
func TestCreateOnAFullDisk(t *testing.T) {
	testkit.OnlyPlain(t, "one request at a time")
	disk, logDir := pgtest.SmallDisk(t, "64m"), pgtest.SmallDisk(t, "128m")
	own := &pgtest.Cluster{Dir: disk, LogDir: logDir, Settings: []string{"min_wal_size = 32MB", "max_wal_size = 32MB"}}
	t.Cleanup(func() {
		if err := own.Stop(); err != nil {
			t.Error(err)
		}
	})
	s := openStore(t, own.Database(t))
	k := newKubbi("team", 0)
	if _, err := s.Create(t.Context(), k, payloadOf([]byte("x")), nil, store.Quota{}, t0); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(disk, "ballast")
	pgtest.Fill(t, ballast)
	for _, size := range []int{60_000, 900_000, 3 << 20} {
		start, refused := time.Now(), error(nil)
		for range 100 { // free pages are filled first
			if _, refused = s.Create(t.Context(), newKubbi("team", 1), payloadOf(make([]byte, size)), nil, store.Quota{}, t0); refused != nil {
				break
			}
		}
		if !errors.Is(refused, store.ErrFull) || errors.Is(refused, store.ErrUnavailable) || !strings.Contains(refused.Error(), "No space left on device") {
			t.Errorf("%d bytes: %v", size, refused)
		}
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("%d bytes: told after %v", size, took)
		}
	}
	if c, err := s.Claim(t.Context(), k.Token, nil, nil, t0); err != nil {
		t.Errorf("claim: %v", err)
	} else if err := c.Payload.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.Delete(t.Context(), "team", k.ID, t0); err != nil {
		t.Errorf("delete: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), newKubbi("team", 1), payloadOf(make([]byte, 3<<20)), nil, store.Quota{}, t0); err != nil {
		t.Errorf("with room again: %v", err)
	}
}
