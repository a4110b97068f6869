// Package postgres keeps kubbis in a PostgreSQL data base that any number of
// relay nodes share. It uses plain SQL: no triggers, procedures, notifications
// or advisory locks, so that data bases that speak its protocol may run it; it
// is tested with PostgreSQL itself.
//
// Open makes the tables or brings them up to date; nodes may start together. A
// change is durable when its call returns: a connection whose
// synchronous_commit is off sets it on.
//
// # What is tried again
//
// A call survives a data base that restarts or fails over for a few seconds:
// it is made again, from its start, within its context. A transaction that
// certainly was not committed may always be made again. Where the connection
// was lost while it was being committed nobody knows, and the repeat has to
// find out: a create finds its own id and token, a delete its own time, a claim
// with a key its grace (it then says Replay); a release, a sweep, a notice and
// an API key come out the same twice. Take may count twice what it answers
// once, which errs on the safe side of its limit. Only a claim without a key
// can't find out: it is store.ErrUnavailable, and may have counted.
//
// Small creates, first claims and releases that come at the same time are committed
// in one transaction, up to 64 of them. If it is lost while it is being committed,
// each of them is in doubt as above. If it fails otherwise, each is made by itself,
// so that none fails for another's sake; that is also the way of whatever is out
// of the ordinary: a key that was used before, a quota, a large payload, a notice.
//
// # What remains of what is wiped
//
// A wipe overwrites the kubbi's secret, and with it whatever is derived from it,
// in the transaction that sets the status. But the files are PostgreSQL's. The
// row as it was before, secret included, stays in its table's file until a
// vacuum has run and the page is written again: kubbis is vacuumed once fifty and
// a hundredth of its rows are dead, chunks once fifty are, each within
// autovacuum_naptime (a minute by default); VACUUM does it at any time. It stays
// in the write-ahead log, and in the archives, replicas and backups made of it,
// until those are recycled or deleted.
//
// With such a copy, the master key AND the claim URL somebody could open the
// payload; with copy and master key, the record: names of files and metadata.
// The store alone opens nothing. What bounds it is the master key: once it is
// pruned, no copy opens anywhere, whoever has kept what. `keyring rotate --every
// 1h` makes a new one each hour and prunes those that no kubbi needs. SQLite's
// store, whose files are its own, forgets within a second.
//
// # Rows
//
// A kubbi is found by its number, the primary key; id and hash of the token are
// compared with the row. A payload of up to store.MaxInRow is in the row, a
// larger one in rows of 1 MiB of chunks. It is read into memory, above 4 MiB into
// a spool, before the claim is counted, since it may be wiped when that is done.
//
// The tables of version 1 are left alone, but for its API keys, which are taken
// over. Where it has kubbis that are not wiped, Open is ErrOlder.
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
	// stepPatience ends a round trip whose caller has set no earlier end.
	stepPatience = 15 * time.Second
	// connPatience ends the wait for a connection, which may be a new one.
	connPatience   = 5 * time.Second
	pingPatience   = 500 * time.Millisecond
	defaultConns   = 16
	idleInTransact = "30s" // locks of a node that has vanished end then at last
)

// Config says where a store is. Only URL is needed.
type Config struct {
	URL      string       // postgres://user:password@host:port/database?sslmode=..., or the key=value form
	Logger   *slog.Logger // nil: nothing is logged
	MaxConns int          // at most so many connections; 0: the URL's pool_max_conns, else 16
	TempDir  string       // for payloads above 4 MiB while they are claimed; "": the system's
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
		// What a standby says may be old.
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

// hasPoolSize tells whether a valid URL says how many connections there may be:
// pgx fills in a default of its own, and does not tell.
func hasPoolSize(u string) bool {
	c, err := pgconn.ParseConfig(u)
	return err == nil && c.RuntimeParams["pool_max_conns"] != ""
}

// prepareConn makes a new connection keep a Store's promises.
func prepareConn(ctx context.Context, c *pgx.Conn) error {
	var sync string
	// Other products don't have these settings, nor what they would be needed for.
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

// ignorable drops a complaint of the server.
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
