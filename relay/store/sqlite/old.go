package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"zombiezen.com/go/sqlite"
)

// oldKey is a row of the table api_key of a store of the version before.
type oldKey []any

// oldStore is where a store of the version before lies: in the same folder.
func oldStore(path string) string { return filepath.Join(filepath.Dir(path), "store.db") }

// oldKeys reads the API keys of a store of the version before. One that is not
// there, or that is no such store, has none.
func oldKeys(path string) ([]oldKey, error) {
	old := oldStore(path)
	if info, err := os.Stat(old); err != nil || info.Size() == 0 || old == path {
		return nil, nil
	}
	c, err := openConn(old, false)
	if err != nil {
		return nil, nil // no data base
	}
	defer c.close()
	version, err := c.number("PRAGMA user_version")
	if err != nil {
		return nil, nil
	}
	app, err := c.number("PRAGMA application_id")
	if err != nil || app != applicationID || version < 1 || version >= schemaVersion {
		return nil, nil
	}
	more := ", expires_at, max_ttl, max_bytes, rate, daily, active"
	if version == 1 {
		more = ", NULL, 0, 0, 0, 0, 0"
	}
	s, _, err := c.PrepareTransient("SELECT hash, owner, label, created_at, revoked_at" + more + " FROM api_key")
	if err != nil {
		return nil, fmt.Errorf("take over the API keys of %s: %w", old, err)
	}
	var keys []oldKey
	for {
		row, err := s.Step()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("take over the API keys of %s: %w", old, err), s.Finalize())
		}
		if !row {
			return keys, s.Finalize()
		}
		k := oldKey{}
		for i := range s.ColumnCount() {
			switch s.ColumnType(i) {
			case sqlite.TypeInteger:
				k = append(k, s.ColumnInt64(i))
			case sqlite.TypeText:
				k = append(k, s.ColumnText(i))
			case sqlite.TypeBlob:
				b := make([]byte, s.ColumnLen(i))
				s.ColumnBytes(i, b)
				k = append(k, b)
			default:
				k = append(k, nil)
			}
		}
		keys = append(keys, k)
	}
}

// takeOver stores the keys in the new store's table.
func (c *conn) takeOver(keys []oldKey) error {
	if len(keys) == 0 {
		return nil
	}
	s, _, err := c.PrepareTransient(`INSERT OR IGNORE INTO api_key
		(hash, owner, label, created_at, revoked_at, expires_at, max_ttl, max_bytes, rate, daily, active) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	if err != nil {
		return engine(err)
	}
	defer s.Finalize()
	for _, k := range keys {
		for i, v := range k {
			switch v := v.(type) {
			case int64:
				s.BindInt64(i+1, v)
			case string:
				s.BindText(i+1, v)
			case []byte:
				s.BindBytes(i+1, v)
			default:
				s.BindNull(i + 1)
			}
		}
		if _, err := s.Step(); err != nil {
			return engine(err)
		}
		if err := s.Reset(); err != nil {
			return engine(err)
		}
	}
	return nil
}
