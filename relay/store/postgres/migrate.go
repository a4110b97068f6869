package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"kubbi-mcp/relay/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	// schemaVersion is the newest migration's number.
	schemaVersion = 2
	// oldVersion is a schema whose kubbis this program can't open. Its API keys are taken
	// over.
	oldVersion   = 1
	versionTable = "kubbi_schema"
	// migratePatience is how long to wait for another node that migrates.
	migratePatience = time.Minute
)

// migrate updates the tables. If there are none, it makes them, unless existing is set.
func migrate(ctx context.Context, cfg *pgx.ConnConfig, existing bool, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, migratePatience)
	defer cancel()
	end := time.Now().Add(retryFor)
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		err := tryMigrate(ctx, cfg, existing, log)
		if err == nil {
			return nil
		}
		// Nodes that start together may conflict before the lock exists, and the data base
		// may be starting as well.
		again := isDuplicate(err) || alreadyThere(err)
		err = storeError(err)
		if !again && (!errors.Is(err, store.ErrUnavailable) || time.Now().After(end)) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

func alreadyThere(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "42P07" || pg.Code == "42710")
}

func tryMigrate(ctx context.Context, cfg *pgx.ConnConfig, existing bool, log *slog.Logger) (err error) {
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(end)
	}()
	version, err := schemaOf(ctx, conn)
	if err != nil || version == schemaVersion {
		return err
	}
	if version == oldVersion {
		if err := refuseKubbis(ctx, conn); err != nil {
			return err
		}
	}
	if existing {
		return ErrNoTables
	}
	// The lock is a row lock, since some data bases have no advisory locks. It ends with
	// the connection, even if this process is killed.
	if _, err := conn.Exec(ctx, "CREATE TABLE IF NOT EXISTS kubbi_migration (id integer PRIMARY KEY)"); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "INSERT INTO kubbi_migration (id) VALUES (1) ON CONFLICT (id) DO NOTHING"); err != nil {
		return err
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "SELECT id FROM kubbi_migration FOR UPDATE"); err != nil {
		return err
	}
	if version, err := schemaOf(ctx, tx); err != nil || version == schemaVersion {
		return err
	}
	db := stdlib.OpenDB(*cfg)
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := up(ctx, db, log); err != nil {
		return err
	}
	if version == oldVersion {
		log.WarnContext(ctx, "the store was written by an older version: its API keys are taken over; what else its tables hold is no longer needed",
			"cure", "when no node of the older version runs, "+dropOld)
	}
	if err := tune(ctx, db); err != nil {
		return err
	}
	return tx.Rollback(ctx)
}

const dropOld = "DROP TABLE kubbi, chunk, grace, removed, notice, used, owner; DROP SEQUENCE kubbi_seq"

// refuseKubbis returns store.ErrOlder if kubbis of the old version are not wiped yet.
func refuseKubbis(ctx context.Context, conn *pgx.Conn) error {
	left := false
	there, err := hasTable(ctx, conn, "kubbi")
	if err == nil && there {
		err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM kubbi WHERE sealed)").Scan(&left)
	}
	if err == nil && left {
		err = fmt.Errorf("%w, whose kubbis this one can't open, and it holds some: let them end under the older program, a day at most, or give them up: %s; its API keys are kept",
			store.ErrOlder, dropOld)
	}
	return err
}

// querier is a connection or a transaction.
type querier interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}

func hasTable(ctx context.Context, q querier, name string) (there bool, err error) {
	err = q.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = $1)", name).Scan(&there)
	return there, err
}

// schemaOf is the data base's schema version, 0 for a new one.
func schemaOf(ctx context.Context, q querier) (version int64, err error) {
	there, err := hasTable(ctx, q, versionTable)
	if err != nil || !there {
		return 0, err
	}
	err = q.QueryRow(ctx, "SELECT coalesce(max(version_id), 0) FROM "+versionTable+" WHERE is_applied").Scan(&version)
	if err == nil && version > schemaVersion {
		err = fmt.Errorf("%w: its schema is version %d, this program knows up to %d: use the newer program, or another data base",
			store.ErrNewer, version, schemaVersion)
	}
	return version, err
}

func up(ctx context.Context, db *sql.DB, log *slog.Logger) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithTableName(versionTable))
	if err != nil {
		return err
	}
	done, err := p.Up(ctx)
	if err != nil {
		return err
	}
	for _, m := range done {
		log.InfoContext(ctx, "store's tables brought up to date", "version", m.Source.Version)
	}
	return nil
}

// tune sets options that only PostgreSQL itself has. It turns compression off, since
// ciphertext does not compress, and makes vacuums frequent, so that wiped rows leave the files
// soon.
func tune(ctx context.Context, db *sql.DB) error {
	var version string
	if err := db.QueryRowContext(ctx, "SELECT version()").Scan(&version); err != nil {
		return err
	}
	if !strings.HasPrefix(version, "PostgreSQL ") || strings.Contains(version, "-YB-") {
		return nil
	}
	const often = "autovacuum_vacuum_threshold = 50, autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_scale_factor = "
	for _, statement := range []string{
		"ALTER TABLE chunks ALTER COLUMN sealed SET STORAGE EXTERNAL",
		"ALTER TABLE kubbis ALTER COLUMN payload SET STORAGE EXTERNAL, ALTER COLUMN record SET STORAGE EXTERNAL",
		"ALTER TABLE chunks SET (" + often + "0, toast." + strings.ReplaceAll(often, ", ", ", toast.") + "0)",
		"ALTER TABLE kubbis SET (fillfactor = 80, " + often + "0.01, toast." + strings.ReplaceAll(often, ", ", ", toast.") + "0.01)",
		"ALTER TABLE uses SET (fillfactor = 80)",
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}
