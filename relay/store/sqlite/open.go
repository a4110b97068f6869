package sqlite

import (
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"zombiezen.com/go/sqlite/sqlitex"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/body"
)

//go:embed schema.sql
var schema string

const (
	// schemaVersion is PRAGMA user_version. Versions 1 and 2 kept payloads in chunks, and had
	// no secrets.
	schemaVersion = 3
	// applicationID marks a file as a kubbi store: "kubb".
	applicationID = 0x6b756262

	walEnding = "-wal"
)

// sibling is the path of a file beside the data base: store.lock for store.db. It is
// never the data base itself.
func sibling(path, ending string) string {
	own := filepath.Ext(path)
	if own == ending {
		own = ""
	}
	return strings.TrimSuffix(path, own) + ending
}

func slotsPath(path string) string { return sibling(path, ".slots") }

func bodiesPath(path string) string { return sibling(path, ".bodies") }

// openLocked opens the files, and makes those of a new store. The caller holds the lock, so
// that only one of several processes makes them.
func (s *Store) openLocked() error {
	w := &s.writer
	fresh, err := missing(s.path)
	if err != nil {
		return err
	}
	if !fresh {
		if err := checkWAL(s.path); err != nil {
			return err
		}
	}
	full := !s.reserve.diskHas(2 * spareBytes)
	pages := checkpointPages
	if full {
		pages = shortCheckpointPages
		if err := removeSpare(s.path); err != nil {
			return err
		}
	}
	c, err := openConn(s.path, fresh)
	if err != nil {
		return err
	}
	w.tx = newTx(c)
	version, err := w.schema()
	if err == nil && version == 0 {
		err = w.make()
	}
	if err != nil {
		return err
	}
	if err := c.execAll("PRAGMA synchronous=FULL", "PRAGMA fullfsync=ON", "PRAGMA temp_store=MEMORY", fmt.Sprintf("PRAGMA cache_size=%d", cacheSize),
		fmt.Sprintf("PRAGMA wal_autocheckpoint=%d", pages), fmt.Sprintf("PRAGMA journal_size_limit=%d", walBytes)); err != nil {
		return err
	}
	// SQLite opens a file without write permission as read-only. This write finds that out.
	if err := w.tx.alone(func() error { return nil }); err != nil {
		return err
	}
	if err := w.house.open(w, full); err != nil {
		s.log.Warn("no room is kept for the write-ahead log, since the disk is full", "file", s.path, "error", explain(s.path, err))
	}
	if s.files, err = body.OpenFiles(bodiesPath(s.path)); err != nil {
		return cannotOpen(s.path, err)
	}
	if s.slots, err = w.openSlots(); err != nil {
		return err
	}
	w.tx.slots = s.slots
	if err := w.erase.adopt(w); err != nil {
		return err
	}
	if err := w.dropUnwritten(); err != nil {
		// Calls that meet damaged pages fail by themselves.
		s.log.Error("the newest kubbis are not checked", "file", s.path, "error", explain(s.path, err))
	}
	return nil
}

// missing reports whether the store is new. If the data base is missing and other files of it
// exist, the error is ErrLost.
func missing(path string) (bool, error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.Size() > 0:
		return false, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return false, cannotOpen(path, err)
	}
	for _, other := range []string{path + walEnding, slotsPath(path)} {
		if info, err := os.Stat(other); err == nil && info.Size() > 0 {
			return false, lost(path, path, other)
		}
	}
	if files, err := os.ReadDir(bodiesPath(path)); err == nil && len(files) > 0 {
		return false, lost(path, path, bodiesPath(path))
	}
	return true, nil
}

// lost is the error for a store of which one part is missing and another exists.
func lost(path, gone, there string) error {
	dir, name := filepath.Split(path)
	stem := strings.TrimSuffix(name, filepath.Ext(name))
	return fmt.Errorf("%s: %w: %s is not there, but %s is: restore %s from a backup, or move every %s.* in %s elsewhere to start afresh",
		path, ErrLost, gone, there, filepath.Base(gone), stem, filepath.Clean(dir))
}

// schema is the schema version of the file, 0 for a new file.
func (w *writer) schema() (int64, error) {
	version, err := w.tx.number("PRAGMA user_version")
	if err != nil {
		return 0, err
	}
	app, err := w.tx.number("PRAGMA application_id")
	if err != nil {
		return 0, err
	}
	if version == schemaVersion && app == applicationID {
		return version, nil
	}
	tables, err := w.tx.number("SELECT count(*) FROM sqlite_master")
	if err != nil {
		return 0, err
	}
	switch {
	case app != applicationID && (app != 0 || version != 0 || tables != 0):
		return 0, corrupt(w.path, "it holds another program's data")
	case version > schemaVersion:
		return 0, fmt.Errorf("%s: %w: its schema is version %d, this program knows up to %d: use the newer program, or another data directory",
			w.path, store.ErrNewer, version, schemaVersion)
	case version > 0:
		return 0, fmt.Errorf("%s: %w, whose kubbis this one can't read: claim them with that version, or use another path (kubbi.db in the same folder takes over the API keys)",
			w.path, store.ErrOlder)
	}
	return 0, nil
}

// make makes the tables of a new file.
func (w *writer) make() error {
	if err := w.tx.execAll(fmt.Sprintf("PRAGMA page_size=%d", pageSize), "PRAGMA auto_vacuum=INCREMENTAL", fmt.Sprintf("PRAGMA application_id=%d", applicationID)); err != nil {
		return err
	}
	mode := ""
	if err := w.tx.rows("PRAGMA journal_mode=WAL", func(s *stmt) { mode = s.text(0) }); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("%s: %w: its file system can't share memory between processes: use a data directory on a local disk", w.path, ErrCannotOpen)
	}
	var id body.ID
	if _, err := rand.Read(id[:]); err != nil {
		return err
	}
	keys := 0
	err := w.tx.transaction(func() (err error) {
		if err := engine(sqlitex.ExecuteScript(w.tx.Conn, schema, nil)); err != nil {
			return err
		}
		if keys, err = w.tx.takeOverKeys(w.path); err != nil {
			return err
		}
		return w.tx.execAll(fmt.Sprintf("INSERT INTO beside VALUES (x'%x', 0)", id), fmt.Sprintf("PRAGMA user_version=%d", schemaVersion))
	})
	if err == nil && keys > 0 {
		w.log.Warn("an older store is beside the new one: its API keys are taken over, its kubbis can't be read by this version and are left alone",
			"old", oldStore(w.path), "new", w.path, "keys", keys)
	}
	return err
}
