package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	// schemaVersion is the newest migration's number. Every migration leaves
	// its own in PRAGMA user_version, so that an up-to-date file is known by
	// reading one page, without goose.
	schemaVersion = 2
	// applicationID marks a file as a kubbi store: "kubb".
	applicationID = 0x6b756262
)

// ready brings the schema of the store at path, which exists, up to date. The
// caller holds the file lock, so that of two processes one migrates.
func ready(ctx context.Context, path string) error {
	c, err := create(path)
	if err != nil {
		return err
	}
	version, err := schemaOf(c, path)
	if err == nil && version == 0 {
		err = explain(path, prepareFresh(c, path))
	}
	c.close()
	if err != nil || version == schemaVersion {
		return err
	}
	return migrate(ctx, path)
}

// prepareFresh sets what has to be set before the first table is made.
func prepareFresh(c *conn, path string) error {
	if err := c.exec(fmt.Sprintf("PRAGMA page_size=%d; PRAGMA application_id=%d", pageSize, applicationID)); err != nil {
		return err
	}
	s, err := c.prepare("PRAGMA journal_mode=WAL")
	if err != nil {
		return err
	}
	if _, err := s.step(); err != nil {
		return err
	}
	mode := s.text(0)
	s.reset()
	if mode != "wal" {
		return fmt.Errorf("%s: %w: its file system can't share memory between processes: use a data directory on a local disk", path, ErrCannotOpen)
	}
	return nil
}

// schemaOf is the file's schema version: 0 for a fresh file.
func schemaOf(c *conn, path string) (int64, error) {
	version, err := c.queryInt("PRAGMA user_version")
	if err != nil {
		return 0, explain(path, err)
	}
	app, err := c.queryInt("PRAGMA application_id")
	if err != nil {
		return 0, explain(path, err)
	}
	if version == schemaVersion && app == applicationID {
		return version, nil
	}
	tables, err := c.queryInt("SELECT count(*) FROM sqlite_master")
	if err != nil {
		return 0, explain(path, err)
	}
	switch {
	case app != applicationID && (app != 0 || version != 0 || tables != 0):
		return 0, corrupt(path, "it holds another program's data")
	case version > schemaVersion:
		return 0, fmt.Errorf("%s: %w: its schema is version %d, this program knows up to %d: use the newer program, or another data directory",
			path, ErrNewer, version, schemaVersion)
	}
	return version, nil
}

func migrate(ctx context.Context, path string) (err error) {
	db, err := sql.Open("sqlite", uri(path, fmt.Sprintf("_pragma=busy_timeout(%d)&_pragma=synchronous(full)&_txlock=immediate", busyMS)))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if _, err := p.Up(ctx); err != nil {
		return foreign(path, err)
	}
	return nil
}

// foreign turns an error of the database/sql driver into what explain knows.
func foreign(path string, err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	return explain(path, fmt.Errorf("migrate: %w", &sqliteError{code: e.Code(), msg: e.Error()}))
}
