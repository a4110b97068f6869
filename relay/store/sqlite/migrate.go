package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"syscall"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	// schemaVersion is the newest migration's number. Every migration leaves
	// its own in PRAGMA user_version, so that an up-to-date file is known by
	// reading one page, without goose.
	schemaVersion = 1
	// applicationID marks a file as a kubbi store: "kubb".
	applicationID = 0x6b756262
)

// ready brings the schema of the store at path, which exists, up to date. The
// caller holds the file lock, so that of two processes one migrates.
func ready(ctx context.Context, path string) error {
	c, err := openConn(path, openReadWrite, busyMS)
	if err != nil {
		return explain(path, err)
	}
	version, err := schemaOf(c, path)
	if err == nil && version == 0 {
		// To be set before the first table is made.
		err = explain(path, c.exec(fmt.Sprintf("PRAGMA page_size=%d; PRAGMA journal_mode=WAL; PRAGMA application_id=%d", pageSize, applicationID)))
	}
	c.close()
	if err != nil || version == schemaVersion {
		return err
	}
	return migrate(ctx, path)
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
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: fmt.Sprintf("_pragma=busy_timeout(%d)&_pragma=synchronous(full)&_txlock=immediate", busyMS)}
	db, err := sql.Open("sqlite", u.String())
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

// touch makes the file, 0600, if it is not there. SQLite gives its side files
// the same mode.
func touch(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	switch {
	case errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS):
		return readOnly(path, err)
	case err != nil:
		return fmt.Errorf("%s: %w: %w", path, ErrCannotOpen, err)
	}
	return f.Close()
}
