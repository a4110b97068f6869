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
	// schemaVersion is PRAGMA user_version. Versions 1 and 2 kept payloads in
	// chunks, and knew no secrets.
	schemaVersion = 3
	// applicationID marks a file as a kubbi store: "kubb".
	applicationID = 0x6b756262

	logEnding = "-wal"
	// checkpointPages is at how many pages in the log a commit moves them into the
	// data base.
	checkpointPages = 2000
)

// beside is the path of a file that belongs to the data base: store.lock for
// store.db. It is never the data base itself.
func beside(path, ending string) string {
	own := filepath.Ext(path)
	if own == ending {
		own = ""
	}
	return strings.TrimSuffix(path, own) + ending
}

func slotsPath(path string) string { return beside(path, ".slots") }

func bodiesPath(path string) string { return beside(path, ".bodies") }

// openLocked opens the files, and makes those of a store that is new. The caller
// holds the lock, so that of two processes one makes them.
func (s *Store) openLocked() error {
	w := &s.writer
	fresh, err := missing(s.path)
	if err != nil {
		return err
	}
	if !fresh {
		if err := checkLog(s.path); err != nil {
			return err
		}
	}
	pages := checkpointPages
	if !s.space.has(2 * spareBytes) {
		pages = shortPages
		if err := spendSpare(s.path); err != nil {
			return err
		}
	}
	if w.c, err = openConn(s.path, fresh); err != nil {
		return err
	}
	version, err := w.schema()
	if err == nil && version == 0 {
		err = w.make()
	}
	if err != nil {
		return err
	}
	if err := w.c.exec("PRAGMA synchronous=FULL", "PRAGMA fullfsync=ON", "PRAGMA temp_store=MEMORY", fmt.Sprintf("PRAGMA cache_size=%d", cacheSize),
		fmt.Sprintf("PRAGMA wal_autocheckpoint=%d", pages)); err != nil {
		return err
	}
	if err := w.tx.prepare(w.c); err != nil {
		return err
	}
	// What can't be written is opened all the same, for reading.
	if err := w.tx.begin.run(); err != nil {
		return err
	}
	if err := w.tx.rollback.run(); err != nil {
		return err
	}
	if err := w.room.open(w, pages == shortPages); err != nil {
		s.log.Warn("the log has no room kept for it, since the disk is full", "file", s.path, "error", explain(s.path, err))
	}
	if s.files, err = body.OpenFiles(bodiesPath(s.path)); err != nil {
		return cannotOpen(s.path, err)
	}
	if s.slots, err = w.openSlots(); err != nil {
		return err
	}
	w.slots, w.tx.slots = s.slots, s.slots
	if err := w.erase.adopt(w); err != nil {
		return err
	}
	if err := w.dropUnwritten(); err != nil {
		// Damaged pages are told by the calls that meet them.
		s.log.Error("the newest kubbis are not looked at", "file", s.path, "error", explain(s.path, err))
	}
	return nil
}

// missing tells whether the store is new. A data base that is not there, while
// other files of it are, is a loss.
func missing(path string) (bool, error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.Size() > 0:
		return false, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return false, cannotOpen(path, err)
	}
	for _, other := range []string{path + logEnding, slotsPath(path)} {
		if info, err := os.Stat(other); err == nil && info.Size() > 0 {
			return false, lost(path, path, other)
		}
	}
	if files, err := os.ReadDir(bodiesPath(path)); err == nil && len(files) > 0 {
		return false, lost(path, path, bodiesPath(path))
	}
	return true, nil
}

// lost says which part of a store is gone, and which one shows that it was there.
func lost(path, gone, there string) error {
	dir, name := filepath.Split(path)
	stem := strings.TrimSuffix(name, filepath.Ext(name))
	return fmt.Errorf("%s: %w: %s is not there, but %s is: restore %s from a backup, or move every %s.* in %s elsewhere to start afresh",
		path, ErrLost, gone, there, filepath.Base(gone), stem, filepath.Clean(dir))
}

// schema is the file's schema version: 0 for a fresh file.
func (w *writer) schema() (int64, error) {
	version, err := w.c.number("PRAGMA user_version")
	if err != nil {
		return 0, err
	}
	app, err := w.c.number("PRAGMA application_id")
	if err != nil {
		return 0, err
	}
	if version == schemaVersion && app == applicationID {
		return version, nil
	}
	tables, err := w.c.number("SELECT count(*) FROM sqlite_master")
	if err != nil {
		return 0, err
	}
	switch {
	case app != applicationID && (app != 0 || version != 0 || tables != 0):
		return 0, corrupt(w.path, "it holds another program's data")
	case version > schemaVersion:
		return 0, fmt.Errorf("%s: %w: its schema is version %d, this program knows up to %d: use the newer program, or another data directory",
			w.path, ErrNewer, version, schemaVersion)
	case version > 0:
		return 0, fmt.Errorf("%s: %w, whose kubbis this one can't read: claim them with that version, or use another path (kubbi.db in the same folder takes over the API keys)",
			w.path, ErrOlder)
	}
	return 0, nil
}

// make makes the tables of a fresh file.
func (w *writer) make() error {
	if err := w.c.exec(fmt.Sprintf("PRAGMA page_size=%d", pageSize), "PRAGMA auto_vacuum=INCREMENTAL", fmt.Sprintf("PRAGMA application_id=%d", applicationID)); err != nil {
		return err
	}
	mode, err := w.c.word("PRAGMA journal_mode=WAL")
	if err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("%s: %w: its file system can't share memory between processes: use a data directory on a local disk", w.path, ErrCannotOpen)
	}
	keys, err := oldKeys(w.path)
	if err != nil {
		return err
	}
	if err := w.c.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err = engine(sqlitex.ExecuteScript(w.c.Conn, schema, nil))
	var id body.ID
	if err == nil {
		_, err = rand.Read(id[:])
	}
	if err == nil {
		err = w.c.exec(fmt.Sprintf("INSERT INTO beside VALUES (x'%x', 0)", id))
	}
	if err == nil {
		err = w.c.takeOver(keys)
	}
	if err == nil {
		err = w.c.exec(fmt.Sprintf("PRAGMA user_version=%d", schemaVersion), "COMMIT")
	}
	if err != nil && w.c.inTransaction() {
		err = errors.Join(err, w.c.exec("ROLLBACK"))
	}
	if err == nil && len(keys) > 0 {
		w.log.Warn("an older store is beside the new one: its API keys are taken over, its kubbis can't be read by this version and are left alone",
			"old", oldStore(w.path), "new", w.path, "keys", len(keys))
	}
	return err
}

// openSlots opens the file of slots. It is made once, after the data base: from
// then on its absence is a loss.
func (w *writer) openSlots() (*body.Slots, error) {
	path := slotsPath(w.path)
	var id body.ID
	made := false
	s, _, err := w.c.PrepareTransient("SELECT id, slots FROM beside")
	if err != nil {
		return nil, engine(err)
	}
	there, err := s.Step()
	if there && err == nil {
		there = s.ColumnLen(0) == len(id) && s.ColumnBytes(0, id[:]) == len(id)
		made = s.ColumnInt64(1) != 0
	}
	if ferr := s.Finalize(); err == nil {
		err = ferr
	}
	if err != nil {
		return nil, engine(err)
	}
	if !there {
		return nil, corrupt(w.path, "its table beside is empty")
	}
	if !made {
		if err := body.CreateSlots(path, id); err != nil {
			return nil, err
		}
		if err := w.c.exec("UPDATE beside SET slots = 1"); err != nil {
			return nil, err
		}
	}
	slots, err := body.OpenSlots(path, id)
	if errors.Is(err, body.ErrSlots) {
		if _, serr := os.Stat(path); serr == nil {
			return nil, fmt.Errorf("%s: %w: %s is damaged or another store's: restore both from the same backup", w.path, ErrLost, path)
		}
		return nil, lost(w.path, path, w.path)
	}
	return slots, err
}

// dropUnwritten removes the newest rows whose secret is not in its slot: a loss of
// power came between, and nobody was told that they are stored.
func (w *writer) dropUnwritten() error {
	t := &w.tx
	var rows []body.Used
	if err := t.newest.each(func() {
		rows = append(rows, body.Used{Number: t.newest.int(0), Slot: t.newest.int(1)})
	}); err != nil {
		return err
	}
	var gone []body.Used
	for _, r := range rows {
		_, there, err := w.slots.Read(r.Slot, r.Number)
		if err != nil {
			return err
		}
		if !there {
			gone = append(gone, r)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	if len(gone) > maxGroupOps {
		// No loss of power does that.
		w.log.Error("the secrets of many kubbis are missing: is the file of slots from an older backup?", "file", w.path, "kubbis", len(gone))
		return nil
	}
	if err := t.begin.run(); err != nil {
		return err
	}
	t.reset()
	err := t.dropRows(gone)
	if err == nil {
		err = t.flush()
	}
	if err == nil {
		err = t.commit.run()
	}
	if err != nil && w.c.inTransaction() {
		err = errors.Join(err, t.rollback.run())
	}
	if err == nil {
		w.log.Warn("kubbis that were not acknowledged before a loss of power are removed", "file", w.path, "kubbis", len(gone))
	}
	return err
}

func (t *tx) dropRows(gone []body.Used) error {
	for _, g := range gone {
		var r row
		if err := r.find(t.byNumber, store.Number(g.Number)); err != nil {
			return err
		}
		if err := t.dropRow(g.Number); err != nil {
			return err
		}
		d := total{n: -1}
		t.totals.add(masterKeyUses, r.masterKey, d)
		if r.Status == store.Active {
			d.active, d.loose = -1, -b2i(!r.quota)
		}
		t.totals.add(ownersKubbis, r.owner, d)
		t.totals.add(wholeStore, "", total{active: d.active, bytes: -r.size})
	}
	return nil
}
