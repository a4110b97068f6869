package sqlite

import (
	"context"

	"kubbi-mcp/relay/store"
)

// The kinds of rows in the table total.
const (
	ownersKubbis  = 0
	masterKeyUses = 1
	wholeStore    = 2
)

// total is a change of a row of the table total.
type total struct {
	n, loose       int64
	of             [4]int64 // kubbis by status
	bytes, notices int64
}

// totals are the changes of a transaction, by row.
type totals map[totalKey]total

type totalKey struct {
	kind int64
	name string
}

func (ts totals) add(kind int64, name string, d total) {
	k := totalKey{kind, name}
	s := ts[k]
	s.n += d.n
	s.loose += d.loose
	for status, n := range d.of {
		s.of[status] += n
	}
	s.bytes += d.bytes
	s.notices += d.notices
	ts[k] = s
}

// count adds a kubbi in its current state, or subtracts it. n is 1 or -1.
func (ts totals) count(r *row, n int64) {
	var d total
	d.of[r.Status] = n
	whole := d
	if r.Sealed {
		whole.bytes = n * r.Size
		ts.add(masterKeyUses, r.MasterKey, total{n: n})
	}
	ts.add(wholeStore, "", whole)
	d.n = n
	if !r.quota {
		d.loose = d.of[store.Active]
	}
	ts.add(ownersKubbis, r.Owner, d)
}

// countNotice adds or subtracts a notice of a kubbi. n is 1 or -1.
func (ts totals) countNotice(masterKey string, n int64) {
	ts.add(masterKeyUses, masterKey, total{n: n})
	ts.add(wholeStore, "", total{notices: n})
}

const addTotal = `INSERT INTO total (kind, name, n, loose, active, expired, burned, deleted, bytes, notices)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n, loose = loose + excluded.loose,
	active = active + excluded.active, expired = expired + excluded.expired, burned = burned + excluded.burned,
	deleted = deleted + excluded.deleted, bytes = bytes + excluded.bytes, notices = notices + excluded.notices`

// writeTotals writes the changes of the transaction.
func (t *tx) writeTotals() error {
	for k, d := range t.totals {
		if d == (total{}) {
			continue
		}
		if err := t.exec(addTotal, k.kind, k.name, d.n, d.loose, d.of[0], d.of[1], d.of[2], d.of[3], d.bytes, d.notices); err != nil {
			return err
		}
	}
	return nil
}

// Stats counts what is in the store: see store.Store. It is always up to date.
func (s *Store) Stats(ctx context.Context) (*store.Stats, error) {
	var st store.Stats
	err := s.read(ctx, func(c *conn) error {
		return c.rows("SELECT active, expired, burned, deleted, bytes, notices FROM total WHERE kind = 2 AND name = ''", func(s *stmt) {
			st = store.Stats{
				Active: int(s.int(0)), Expired: int(s.int(1)), Burned: int(s.int(2)), Deleted: int(s.int(3)),
				Bytes: s.int(4), Notices: int(s.int(5)),
			}
		})
	})
	if err != nil {
		return nil, err
	}
	return &st, nil
}
