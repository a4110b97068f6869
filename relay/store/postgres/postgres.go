// Package postgres keeps kubbis in a PostgreSQL data base that any number of
// relay nodes share. It uses plain SQL: no triggers, procedures, notifications
// or advisory locks, so that data bases that speak its protocol may run it; it
// is tested with PostgreSQL itself.
//
// Open makes the tables or brings them up to date; nodes may start together. A
// change is durable when its call returns: if synchronous_commit is off, every
// connection sets it on.
//
// # Retries
//
// A call survives a data base that restarts or fails over for a few seconds: the store
// tries it again from its start, within its context. It may always try a transaction
// again that certainly was not committed. If the connection was lost during the commit,
// the result is unknown, and the retry must find it: a create finds its own id and
// token, a delete its own time, a claim with a key its grace (it then says Replay); a
// release, a sweep, a notice and an API key give the same result twice. CountUses may
// count uses twice that it returns once, which never passes its limit. Only a claim
// without a key can't find out: it is store.ErrUnavailable, and may have counted.
//
// Small creates, first claims and releases that come at the same time are committed in
// one transaction, up to 64 of them (group commit). If its connection is lost during the
// commit, the result of each is unknown as above. If it fails otherwise, each is tried
// alone, so that none fails because of another. Unusual calls are made alone from the
// start: a key that was used before, a quota, a large payload, a notice.
//
// A claim counts in store.Row.Claim, between the row lock and the commit of claim.claim,
// or in the single statement of claimOnce.
//
// # What remains after a wipe
//
// A wipe overwrites the kubbi's secret in the transaction that sets the status. But
// PostgreSQL writes the files. The old version of the row, with the secret, stays in the
// table's file until a vacuum has run and the page is written again: kubbis is vacuumed
// when fifty and a hundredth of its rows are dead, chunks when fifty are, both within
// autovacuum_naptime (a minute by default); VACUUM does it at any time. It also stays in
// the write-ahead log, and in archives, replicas and backups of it, until those are
// recycled or deleted.
//
// With such a copy, the master key AND the claim URL somebody could open the payload;
// with copy and master key, the record: file names and metadata. The store alone opens
// nothing. The master key limits this: when it is pruned, no copy opens anywhere.
// `keyring rotate --every 1h` makes a new master key each hour and prunes those that no
// kubbi needs. The SQLite store, which writes its files itself, forgets within a second.
//
// # Rows
//
// The primary key is the kubbi's number; id and hash of the token are compared with the
// row. A payload of up to store.MaxInRow is in the row, a larger one in rows of 1 MiB of
// the table chunks. A claim reads it completely before it counts, since the payload may
// be wiped after that: into memory, above 4 MiB into a temporary file.
//
// Open leaves the tables of version 1 alone, except that it takes over their API keys.
// If they have kubbis that are not wiped, that is store.ErrOlder.
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
	// stepPatience ends a round trip, if the context does not end it earlier.
	stepPatience = 15 * time.Second
	// connPatience ends the wait for a connection, also for a new one.
	connPatience   = 5 * time.Second
	pingPatience   = 500 * time.Millisecond
	defaultConns   = 16
	idleInTransact = "30s" // ends the locks of a node that has vanished
)

// Config says where a store is. Only URL is needed.
type Config struct {
	URL      string       // postgres://user:password@host:port/database?sslmode=..., or the key=value form
	Logger   *slog.Logger // nil: nothing is logged
	MaxConns int          // at most so many connections; 0: the URL's pool_max_conns, else 16
	TempDir  string       // for payloads above 4 MiB on their way; "": the system's
	Existing bool         // if there are no tables yet, Open makes none: ErrNoTables
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

// Open makes or opens the store. store.ErrNewer, store.ErrOlder, ErrNoTables, ErrURL and
// store.ErrUnavailable say what is wrong.
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
		// A standby may give old answers.
		pc.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	if err := migrate(ctx, pc.ConnConfig, cfg.Existing, log); err != nil {
		return nil, err
	}
	switch {
	case cfg.MaxConns > 0:
		pc.MaxConns = int32(cfg.MaxConns)
	case !hasPoolSize(cfg.URL):
		pc.MaxConns = defaultConns
	}
	pc.AfterConnect = prepareConn
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(ctx), pc)
	if err != nil {
		return nil, explain(err)
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

// prepareConn makes a new connection keep a Store's promises.
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

// ignorable drops an error of the server that leaves the connection usable.
func ignorable(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) && e.Severity == "ERROR" {
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
