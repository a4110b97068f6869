package sqlite

import (
	"errors"
	"fmt"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/body"
)

// columns are the columns of a row without the payload, in the order of scan.
const columns = `number, status, slot, retrievals, first_at, last_at, ended_at, due,
	grace_key, grace_until, grace_number, grace_at, grace_more, key_until,
	created_at, expires_at, max_retrievals, package, file_count, size,
	hash, id, owner, master_key, content_type, key, quota, notify, record, body`

// row is a row of the table kubbi.
type row struct {
	store.Row
	slot  int64 // of the secret; 0: wiped
	body  int64 // bytes of the payload in a file; -1: it is not in a file
	quota bool  // it was created with a quota of active kubbis
}

// tombstone is subtracted from the column due of a row that is Done, so that such rows come
// first in its index.
const tombstone = 1 << 62

// dueColumn is the value of the column due.
func (r *row) dueColumn() int64 {
	if r.Done {
		return int64(r.Due) - tombstone
	}
	return int64(r.Due)
}

var errRow = errors.New("a row is not what this program has written")

// scan reads a row of columns.
func (r *row) scan(s *stmt) error {
	r.Reset()
	r.Number = store.Number(s.int(0))
	r.Status = store.Status(s.int(1))
	r.slot = s.int(2)
	r.Sealed = r.slot != 0
	r.Retrievals = int(s.int(3))
	r.First = s.time(4)
	r.Last = s.time(5)
	r.Ended = s.time(6)
	r.Due = store.Millis(s.int(7))
	if r.Done = r.Due < 0; r.Done {
		r.Due += tombstone
	}
	if s.into(8, r.Graces.Key[:]) {
		r.Graces.InRow = store.Grace{Until: s.time(9), Number: int(s.int(10)), At: s.time(11)}
	}
	r.Graces.More = s.int(12) != 0
	r.KeyUntil = s.time(13)
	r.Created = store.Millis(s.int(14))
	r.Expires = store.Millis(s.int(15))
	r.MaxRetrievals = int(s.int(16))
	r.Package = s.int(17) != 0
	r.FileCount = int(s.int(18))
	r.Size = s.int(19)
	good := s.into(20, r.Hash[:])
	good = s.into(21, r.ID[:]) && good
	r.Owner = s.text(22)
	r.MasterKey = s.text(23)
	r.ContentType = s.text(24)
	if !s.into(25, r.CreateKey[:]) {
		r.KeyUntil = store.Never
	}
	r.quota = s.int(26) != 0
	r.Notify = s.bytes(27)
	r.Record = s.bytes(28)
	r.body = -1
	if !s.null(29) {
		r.body = s.int(29)
	}
	if !good || r.Status < store.Active || r.Status > store.Deleted || r.Retrievals < 0 || r.MaxRetrievals < 0 || r.Size < 0 ||
		r.Status != store.Active && r.Ended == store.Never {
		return fmt.Errorf("%w: kubbi %d: %w", store.ErrDamaged, r.Number, errRow)
	}
	return nil
}

// find reads the row that a statement selects.
func (r *row) find(c *conn, sql string, args ...any) error {
	found := store.ErrNotFound
	if err := c.rows(sql, func(s *stmt) { found = r.scan(s) }, args...); err != nil {
		return err
	}
	return found
}

// byNumber reads the row with a number.
func (r *row) byNumber(c *conn, n store.Number) error {
	return r.find(c, "SELECT "+columns+" FROM kubbi WHERE number = ?", n)
}

// byToken reads the row of a token.
func (r *row) byToken(c *conn, t store.Token) error {
	err := r.byNumber(c, t.Number)
	if err == nil && !r.Is(t) {
		err = store.ErrNotFound
	}
	return err
}

// byID reads the owner's row with an id.
func (r *row) byID(c *conn, owner, id string) error {
	u, n, err := store.ParseID(id)
	if err != nil {
		return store.ErrNotFound
	}
	err = r.byNumber(c, n)
	if err == nil && (r.ID != u || r.Owner != owner) {
		err = store.ErrNotFound
	}
	return err
}

// loadGraces reads the graces of a row from the table grace, for a call with that claim key.
func (t *tx) loadGraces(r *row, key store.Hash) error {
	g := &r.Graces
	if !g.More {
		return nil
	}
	return t.rows(`SELECT max(until) FILTER (WHERE key <> ?2), max(until) FILTER (WHERE key = ?2),
		max(number) FILTER (WHERE key = ?2), max(at) FILTER (WHERE key = ?2) FROM grace WHERE kubbi = ?1`, func(s *stmt) {
		g.Others = s.time(0)
		g.Mine = store.Grace{Until: s.time(1), Number: int(s.int(2)), At: s.time(3)}
	}, r.Number, key[:])
}

// write writes a row that Claim, Release, Delete or Sweep has changed: its notices, its graces
// and, after Finish, the row itself. It reports whether the row is wiped. The slot of a wiped
// row is overwritten after the commit.
func (t *tx) write(r *row, now store.Millis, exact bool) (wiped bool, err error) {
	for _, n := range r.Notices() {
		if err := t.putNotice(&n); err != nil {
			return false, err
		}
	}
	if g := &r.Graces; g.Changed {
		if g.Mine.Until == store.Never {
			err = t.exec("DELETE FROM grace WHERE kubbi = ? AND key = ?", r.Number, g.MineKey[:])
		} else {
			err = t.exec("INSERT OR REPLACE INTO grace (kubbi, key, until, number, at) VALUES (?, ?, ?, ?, ?)",
				r.Number, g.MineKey[:], g.Mine.Until, g.Mine.Number, g.Mine.At)
		}
		if err != nil {
			return false, err
		}
	}
	was := *r
	if _, ended := r.EndedBy(); ended {
		was.Status = store.Active
	}
	if wiped = r.Finish(now, exact); wiped {
		err = t.wipe(r, was.Graces.More)
	} else {
		err = t.save(r)
		if due := r.dueColumn(); err == nil && due != was.dueColumn() {
			err = t.exec("UPDATE kubbi SET due = ? WHERE number = ?", due, r.Number)
		}
	}
	if err != nil {
		return false, err
	}
	if was.Status != r.Status || wiped {
		t.totals.count(&was, -1)
		t.totals.count(r, 1)
	}
	return wiped, nil
}

// save writes what a claim, a release or expiry changes.
func (t *tx) save(r *row) error {
	var key []byte
	grace, number := r.Graces.InRow, any(nil)
	if grace.Until == store.Never {
		grace.At = store.Never
	} else {
		key, number = r.Graces.Key[:], grace.Number
	}
	return t.exec(`UPDATE kubbi SET status = ?, retrievals = ?, first_at = ?, last_at = ?, ended_at = ?,
		grace_key = ?, grace_until = ?, grace_number = ?, grace_at = ?, grace_more = ? WHERE number = ?`,
		r.Status, r.Retrievals, r.First, r.Last, r.Ended, key, grace.Until, number, grace.At, r.Graces.More, r.Number)
}

// wipe turns a row into a tombstone.
func (t *tx) wipe(r *row, graces bool) error {
	if graces {
		if err := t.exec(dropGraces, r.Number); err != nil {
			return err
		}
	}
	if err := t.exec(`UPDATE kubbi SET due = ?, status = ?, retrievals = ?, first_at = ?, last_at = ?, ended_at = ?,
		grace_key = NULL, grace_until = NULL, grace_number = NULL, grace_at = NULL, grace_more = 0,
		slot = NULL, notify = NULL, record = NULL, body = NULL WHERE number = ?`,
		r.dueColumn(), r.Status, r.Retrievals, r.First, r.Last, r.Ended, r.Number); err != nil {
		return err
	}
	t.wiped = append(t.wiped, body.Used{Slot: r.slot, Number: int64(r.Number)})
	if r.body >= 0 {
		t.bodies = append(t.bodies, int64(r.Number))
	} else if err := t.exec(dropPayload, r.Number); err != nil {
		return err
	}
	r.slot, r.body = 0, -1
	return nil
}

const (
	dropRow     = "DELETE FROM kubbi WHERE number = ?"
	dropPayload = "DELETE FROM payload WHERE number = ?"
	dropGraces  = "DELETE FROM grace WHERE kubbi = ?"
)

// remove removes a row and what belongs to it in other tables.
func (t *tx) remove(number store.Number) error {
	for _, sql := range []string{dropRow, dropPayload, dropGraces} {
		if err := t.exec(sql, number); err != nil {
			return err
		}
	}
	return nil
}

// loadSecret reads the secret of a row that is not wiped.
func (t *tx) loadSecret(r *row) error {
	if !r.Sealed {
		return nil
	}
	secret, there, err := t.slots.ReadAllocated(r.slot, int64(r.Number))
	if err == nil && !there {
		err = fmt.Errorf("%w: the secret of kubbi %s is missing", store.ErrDamaged, r.ID)
	}
	r.Secret = secret
	return err
}
