//go:build unix

package cluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/relay/store/postgres/pgtest"
)

// TestClusterPostgresDiskFull fills the disks of the data base and frees them again:
// first the disk of its tables, so that they can't grow, then the disk of its log, so
// that the server ends. With one disk, either could fail first. The server does not
// restart by itself, as under Patroni, since it might not find enough space.
func TestClusterPostgresDiskFull(t *testing.T) {
	testkit.OnlyCI(t, "fills two disks")
	t.Parallel()
	tables, logs := pgtest.SmallDisk(t, "192m"), pgtest.SmallDisk(t, "192m")
	pg := &pgtest.Cluster{Dir: tables, LogDir: logs, Settings: []string{
		"fsync = off", "restart_after_crash = off",
		"max_wal_size = 10GB", "checkpoint_timeout = 1h", // a checkpoint makes room in the log
	}}
	t.Cleanup(func() {
		if err := pg.Stop(); err != nil {
			t.Error(err)
		}
	})
	other := pg.Database(t)
	c := startCluster(t, inDatabase(t, pg)...)
	s := newStorm(t, c.origins(), c.newKey("storm"))
	s.run(func(ctx context.Context) {
		s.claimsOn(ctx)
		conn := connect(ctx, t, other) // while there is room for what a new connection writes
		mustExec(ctx, t, conn, "CREATE TABLE ballast (t text)")
		ballast := filepath.Join(tables, "ballast")
		pgtest.Fill(t, ballast)
		// Random bytes, which PostgreSQL can't compress.
		err := until(ctx, conn, "INSERT INTO ballast SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 6000)")
		if refused := new(pgconn.PgError); !errors.As(err, &refused) || refused.Code != "53100" {
			t.Fatalf("a table that can't grow: %v", err)
		}
		s.grows(ctx, "503s", s.unavailable.Load, stormSlots) // of creates
		select {
		case <-pg.Ended():
			t.Error("the server ended because its tables can't grow")
		default:
		}
		room(t, pg, ballast)
		s.claimsOn(ctx)

		ballast = filepath.Join(logs, "ballast")
		pgtest.Fill(t, ballast)
		err = until(ctx, conn, "SELECT pg_logical_emit_message(false, 'storm', repeat('x', 1000000))")
		select {
		case <-pg.Ended():
		case <-time.After(stepTime):
			t.Fatalf("the server goes on without its log: %v", err)
		}
		s.sees503(ctx)
		room(t, pg, ballast)
		s.claimsOn(ctx)
		c.recovered(ctx)
	})
	c.silent(s)
}

func connect(ctx context.Context, t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(ctx)) }) // it may be broken
	return conn
}

func mustExec(ctx context.Context, t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(ctx, sql); err != nil {
		t.Fatal(err)
	}
}

// until repeats a statement until it fails.
func until(ctx context.Context, conn *pgx.Conn, sql string) error {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	for {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
}

// room frees disk space, and starts the server if it has ended.
func room(t *testing.T, pg *pgtest.Cluster, ballast string) {
	t.Helper()
	if err := errors.Join(os.Remove(ballast), pg.Revive()); err != nil {
		t.Fatal(err)
	}
}
