// Package postgres keeps kubbis in a PostgreSQL data base that any number of relay nodes
// share. It uses plain SQL without triggers, procedures, notifications or advisory locks, so
// that data bases with PostgreSQL's protocol can run it too. It is tested with PostgreSQL
// itself.
//
// Open makes or updates the tables; several nodes may do so at the same time. A change is
// durable when its call returns: if synchronous_commit is off, every connection turns it on.
//
// # Retries
//
// A call survives a data base that restarts or fails over within a few seconds: the store
// retries the call from its start, as long as its context allows. A transaction that was
// certainly not committed can always be retried. If the connection was lost during the
// commit, the result is unknown, and the retry must detect it. A create finds its own id and
// token, a delete its own time, and a claim with a key its grace (it then returns Replay).
// Releases, sweeps and changes of notices and API keys give the same result twice. CountUses
// may count twice the uses that it returns once; even then the sum does not exceed the limit.
// Only a claim without a key can't detect the result: its error is store.ErrUnavailable, and
// it may have counted.
//
// Up to 64 small creates, first claims and releases that arrive at the same time are
// committed in one transaction (group commit). If the connection is lost during the commit,
// the result of each is unknown, as above. After any other failure each is retried alone, so
// that none fails because of another. Unusual calls are made alone from the start: those with
// a key that was used before, a quota, a large payload or a notice.
//
// A claim counts in store.Row.Claim, between the row lock and the commit of claim.claim,
// or in one of the statements claimOnce and claimOnceKeyed.
//
// # What remains after a wipe
//
// A wipe overwrites the kubbi's secret in the transaction that sets the status. But
// PostgreSQL writes the files, so old copies remain for some time. The old version of the
// row, with the secret, stays in the table's file until a vacuum has run and the page is
// written again. The table kubbis is vacuumed when 50 rows plus 1% of its rows are dead, the
// table chunks when 50 are; both within autovacuum_naptime (a minute by default). The command
// VACUUM does it at any time. The secret also stays in the write-ahead log, and in its
// archives, replicas and backups, until those are recycled or deleted.
//
// With such a copy, the master key AND the claim URL, the payload can be opened. With the
// copy and the master key, the record can be opened: file names and metadata. The data base
// alone opens nothing. Pruning the master key limits this: after that no copy can be opened.
// `keyring rotate --every 1h` makes a new master key each hour and prunes the keys that no
// kubbi needs. The SQLite store writes its files itself, and wipes within a second.
//
// # Rows
//
// The primary key is the kubbi's number. Id and token hash must match the row. A payload up
// to store.MaxInRow is in the row, and a larger one in the table chunks, in rows of 1 MiB.
// A claim reads the payload completely before it counts, since the payload may be wiped after
// that. It keeps up to 1 MiB in memory, and more in a temporary file.
//
// Open takes over the API keys of a data base of version 1, and leaves its other tables
// unchanged. If these have kubbis that are not wiped, the error is store.ErrOlder.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"kubbi-mcp/relay/store"
)

const (
	stepPatience   = 15 * time.Second // timeout of a round trip
	connPatience   = 5 * time.Second  // timeout of the wait for a connection, and of connecting
	pingPatience   = 500 * time.Millisecond
	defaultConns   = 16
	idleInTransact = "30s" // ends the locks of a node that has vanished
)

// Config says where a store is. Only URL is needed.
type Config struct {
	URL      string       // postgres://user:password@host:port/database?sslmode=..., or the key=value form; pool_max_conns is 16 if it is not there
	Logger   *slog.Logger // nil: nothing is logged
	TempDir  string       // for payloads above 1 MiB while they are read; "": the system's
	Existing bool         // if there are no tables, Open does not make them and returns ErrNoTables
}

// Store is a store.Store in a PostgreSQL data base.
type Store struct {
	pool    *pgxpool.Pool
	log     *slog.Logger
	tempDir string
	stats   statsCache
	groups  groups
	calls   store.Calls
}

var _ store.Store = (*Store)(nil)

// Open makes or opens the store. Its errors match store.ErrNewer, store.ErrOlder, ErrNoTables,
// ErrURL or store.ErrUnavailable.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	s, err := open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return s, nil
}

func open(ctx context.Context, cfg Config) (*Store, error) {
	pc, err := pgxpool.ParseConfig(cfg.URL)
	if cfg.URL == "" || err != nil {
		return nil, ErrURL // the cause may quote the password
	}
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if pc.ConnConfig.ConnectTimeout == 0 || pc.ConnConfig.ConnectTimeout > connPatience {
		pc.ConnConfig.ConnectTimeout = connPatience
	}
	if pc.ConnConfig.ValidateConnect == nil {
		// A standby may return old data.
		pc.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	if err := migrate(ctx, pc.ConnConfig, cfg.Existing, log); err != nil {
		return nil, err
	}
	if !hasPoolSize(cfg.URL) {
		pc.MaxConns = defaultConns
	}
	pc.AfterConnect = prepareConn
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(ctx), pc)
	if err != nil {
		return nil, storeError(err)
	}
	s := &Store{pool: pool, log: log, tempDir: cfg.TempDir}
	s.stats.busy = make(chan struct{}, 1)
	if err := s.Ping(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return s, nil
}

// hasPoolSize reports whether a valid URL sets the number of connections. pgx does not
// show whether the number is its own default.
func hasPoolSize(u string) bool {
	c, err := pgconn.ParseConfig(u)
	return err == nil && c.RuntimeParams["pool_max_conns"] != ""
}

// prepareConn sets the options of a new connection that a Store needs.
func prepareConn(ctx context.Context, c *pgx.Conn) error {
	var sync string
	// Other products don't have these settings, and don't need them.
	err := ignorable(c.QueryRow(ctx, "SHOW synchronous_commit").Scan(&sync))
	if err == nil && sync == "off" {
		_, err = c.Exec(ctx, "SET synchronous_commit = on")
	}
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, "SET idle_in_transaction_session_timeout = '"+idleInTransact+"'")
	return ignorable(err)
}

// ignorable returns nil for an error of the server after which the connection is usable.
func ignorable(err error) error {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Severity == "ERROR" {
		return nil
	}
	return err
}

// Close waits for running calls and closes the connections: see store.Store.
func (s *Store) Close() error {
	s.calls.Close(func() {
		s.groups.all.Wait()
		s.pool.Close()
	})
	return nil
}
