package sqlite

import (
	"fmt"
	"os"
	"path/filepath"
)

// oldStore is the path of a store of the previous version in the same folder.
func oldStore(path string) string { return filepath.Join(filepath.Dir(path), "store.db") }

// takeOverKeys copies the API keys of a store of the previous version into the new store, and
// returns how many it read. It returns 0 if there is no such store.
func (c *conn) takeOverKeys(path string) (n int, err error) {
	old := oldStore(path)
	if info, err := os.Stat(old); err != nil || info.Size() == 0 || old == path {
		return 0, nil
	}
	from, err := openConn(old, false)
	if err != nil {
		return 0, nil // no data base
	}
	defer from.close()
	version, err := from.number("PRAGMA user_version")
	if err != nil {
		return 0, nil
	}
	app, err := from.number("PRAGMA application_id")
	if err != nil || app != applicationID || version < 1 || version >= schemaVersion {
		return 0, nil
	}
	limits := "expires_at, max_ttl, max_bytes, rate, daily, active"
	if version == 1 {
		limits = "NULL, 0, 0, 0, 0, 0"
	}
	var failed error
	err = from.rows("SELECT hash, owner, label, created_at, revoked_at, "+limits+" FROM api_key", func(s *stmt) {
		n++
		if err := c.exec(`INSERT OR IGNORE INTO api_key
			(hash, owner, label, created_at, revoked_at, expires_at, max_ttl, max_bytes, rate, daily, active) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			s.bytes(0), s.text(1), s.text(2), s.time(3), s.time(4), s.time(5), s.int(6), s.int(7), s.int(8), s.int(9), s.int(10)); err != nil {
			failed = err
		}
	})
	if err != nil {
		return 0, fmt.Errorf("take over the API keys of %s: %w", old, err)
	}
	return n, failed
}
