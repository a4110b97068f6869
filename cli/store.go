package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"kubbi-mcp/internal/private"
	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/postgres"
	"kubbi-mcp/relay/store/sqlite"
)

// storeFlag is the flag of commands that use a relay's store.
type storeFlag struct {
	Store string `name:"store" variable:"KUBBI_STORE" placeholder:"STORE" help:"The relay's store: the path of a SQLite file, postgres://... of a data base, or file:PATH of a file that says which; by default kubbi.db in the data directory."`
}

// errNoStore says that a store does not exist yet.
var errNoStore = errors.New("there is no store")

// openStore opens the store that --store names, and makes a SQLite file or the tables in
// a data base if they are missing. The caller closes it.
func (a *app) openStore(name string) (store.Store, error) {
	return a.open(name, false)
}

// openExisting opens the store that --store names, which must exist: only the relay
// itself makes a store, after its keyring. The caller closes it.
func (a *app) openExisting(name string) (store.Store, error) {
	return a.open(name, true)
}

// withStore opens the store that --store names, which must exist, does some work with
// it and closes it.
func (a *app) withStore(name string, work func(store.Store) error) error {
	db, err := a.openExisting(name)
	if err != nil {
		return err
	}
	return closingStore(db, work(db))
}

// closingStore closes a store after work that ended with err.
func closingStore(db store.Store, err error) error {
	if closeErr := db.Close(); err == nil && closeErr != nil {
		return fmt.Errorf("close store: %w", closeErr)
	}
	return err
}

func (a *app) open(name string, existing bool) (store.Store, error) {
	name, err := a.storeName(name)
	if err != nil {
		return nil, err
	}
	if isPostgres(name) {
		return a.openPostgres(name, existing)
	}
	path, err := a.storePath(name)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); existing && errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("%w at %s: start its relay once, or name another with --store (KUBBI_STORE)", errNoStore, path)
	}
	return sqlite.Open(a.ctx, sqlite.Config{Path: path, Logger: a.log})
}

func isPostgres(name string) bool {
	return strings.HasPrefix(name, "postgres://") || strings.HasPrefix(name, "postgresql://")
}

func (a *app) openPostgres(url string, existing bool) (store.Store, error) {
	dir, err := a.dataDir()
	if err != nil {
		return nil, err
	}
	db, err := postgres.Open(a.ctx, postgres.Config{URL: url, Logger: a.log, TempDir: dir, Existing: existing})
	switch {
	case errors.Is(err, postgres.ErrNoTables):
		return nil, usagef("%w in the data base of --store (KUBBI_STORE): start its relay once, or name another", errNoStore)
	case errors.Is(err, postgres.ErrURL):
		return nil, usagef("--store (KUBBI_STORE): %w", err)
	case err != nil:
		return nil, err
	}
	return db, nil
}

// storeName is the value of --store, or of the private file that --store names: others can
// see command lines and environments, and a data base's URL may hold a password. Its errors
// don't quote the name.
func (a *app) storeName(name string) (string, error) {
	path, ok := strings.CutPrefix(name, "file:")
	if !ok {
		return name, nil
	}
	path, err := absolute(path)
	var text []byte
	if err == nil {
		text, err = private.Read(path)
	}
	if err != nil {
		return "", usagef("--store (KUBBI_STORE): %w", err)
	}
	name = strings.TrimSpace(string(text))
	if name == "" || strings.ContainsAny(name, "\r\n") || strings.HasPrefix(name, "file:") {
		return "", usagef("--store (KUBBI_STORE): %s must hold one line, which names the store", path)
	}
	return name, nil
}

// storePath is the path of a SQLite store. name comes from storeName.
func (a *app) storePath(name string) (string, error) {
	if name == "" {
		dir, err := a.dataDir()
		if err != nil {
			return "", err
		}
		return filepath.Join(dir, "kubbi.db"), nil
	}
	if strings.Contains(name, "://") {
		return "", usagef("--store (KUBBI_STORE) is neither the path of a SQLite file nor a URL of PostgreSQL") // not quoted: it may hold a password
	}
	path, err := absolute(name)
	if err != nil {
		return "", usagef("--store (KUBBI_STORE): %w", err)
	}
	return path, nil
}
