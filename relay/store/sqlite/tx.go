package sqlite

import (
	"fmt"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/body"
)

const (
	selectRow = "SELECT " + columns + " FROM kubbi WHERE number = ?"
	selectKey = "SELECT " + columns + " FROM kubbi INDEXED BY kubbi_key WHERE key_h = ?"
)

// tx is the writer's transaction: its statements, and what is written once for
// all ops at its end. The embedded statements are prepared once.
type tx struct {
	c     *conn
	slots *body.Slots

	begin, commit, rollback       *stmt
	taken, byNumber, byKey        *stmt
	insert, drop                  *stmt
	putPayload, payload           *stmt
	dropPayload                   *stmt
	save, wipe, setDue, forgetKey *stmt
	keyAnswer                     *stmt
	graceGet, gracePut, graceDel  *stmt
	graceLast, graceClear         *stmt
	addTotal, owned               *stmt
	outlived, outlivedLoose       *stmt
	due, spent                    *stmt
	unused, getUsed, setUsed      *stmt
	putNotice, dueNotices, lease  *stmt
	postpone, noticeKey, dropNote *stmt
	putAPIKey, revoke             *stmt
	putWiped, dropWiped, allWiped *stmt
	freePages, slotOf, newest     *stmt
	inflate, deflate              *stmt
	cut, checkpoint, touch        *stmt

	totals  totals
	used    map[window]*use
	wiped   []body.Used // slots to overwrite once this is committed
	bodies  []int64     // files to remove then
	made    []made      // creates, for where their slots were not written
	growing bool        // a create
}

// made is a create of this transaction.
type made struct {
	o *op
	c *creation
}

func (t *tx) prepare(c *conn) error {
	t.c = c
	t.totals = totals{}
	t.used = map[window]*use{}
	return c.prepare([]named{
		{&t.begin, "BEGIN IMMEDIATE"},
		{&t.commit, "COMMIT"},
		{&t.rollback, "ROLLBACK"},
		{&t.taken, "SELECT EXISTS (SELECT 1 FROM kubbi WHERE number = ?) OR EXISTS (SELECT 1 FROM kubbi INDEXED BY kubbi_key WHERE key_h = ?)"},
		{&t.byNumber, selectRow},
		{&t.byKey, selectKey},
		{&t.insert, `INSERT INTO kubbi (number, due, status, slot, retrievals, grace_more, created_at, expires_at, max_retrievals, package,
			file_count, size, quota, hash, id, owner, master_key, content_type, key_h, key, key_until, key_request, key_answer,
			notify, record, body)
			VALUES (?, ?, 0, ?, 0, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`},
		{&t.putPayload, "INSERT OR REPLACE INTO payload (number, sealed) VALUES (?, ?)"},
		{&t.payload, "SELECT sealed FROM payload WHERE number = ?"},
		{&t.dropPayload, "DELETE FROM payload WHERE number = ?"},
		{&t.drop, "DELETE FROM kubbi WHERE number = ?"},
		{&t.save, `UPDATE kubbi SET status = ?, retrievals = ?, first_at = ?, last_at = ?, ended_at = ?,
			grace_key = ?, grace_until = ?, grace_number = ?, grace_at = ?, grace_more = ? WHERE number = ?`},
		{&t.wipe, `UPDATE kubbi SET status = ?, retrievals = ?, first_at = ?, last_at = ?, ended_at = ?,
			grace_key = NULL, grace_until = NULL, grace_number = NULL, grace_at = NULL, grace_more = 0,
			slot = NULL, notify = NULL, record = NULL, body = NULL WHERE number = ?`},
		{&t.setDue, "UPDATE kubbi SET due = ? WHERE number = ?"},
		{&t.forgetKey, `UPDATE kubbi SET key_h = NULL, key = NULL, key_until = NULL, key_request = NULL, key_answer = NULL
			WHERE number = ?`},
		{&t.keyAnswer, "SELECT key_request, key_answer FROM kubbi WHERE number = ?"},
		{&t.graceGet, "SELECT until, number, at FROM grace WHERE kubbi = ? AND key = ?"},
		{&t.gracePut, "INSERT OR REPLACE INTO grace (kubbi, key, until, number, at) VALUES (?, ?, ?, ?, ?)"},
		{&t.graceDel, "DELETE FROM grace WHERE kubbi = ? AND key = ?"},
		{&t.graceLast, "SELECT max(until) FROM grace WHERE kubbi = ?"},
		{&t.graceClear, "DELETE FROM grace WHERE kubbi = ?"},
		{&t.addTotal, `INSERT INTO total (kind, name, n, active, loose, expired, burned, deleted, bytes, notices)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n, active = active + excluded.active,
			loose = loose + excluded.loose, expired = expired + excluded.expired, burned = burned + excluded.burned,
			deleted = deleted + excluded.deleted, bytes = bytes + excluded.bytes, notices = notices + excluded.notices`},
		{&t.owned, "SELECT active, loose FROM total WHERE kind = 0 AND name = ?"},
		{&t.outlived, `SELECT count(*) FROM (SELECT 1 FROM kubbi INDEXED BY kubbi_quota
			WHERE owner = ? AND expires_at <= ? AND quota = 1 AND status = 0 LIMIT ?)`},
		{&t.outlivedLoose, `SELECT count(*) FROM (SELECT 1 FROM kubbi INDEXED BY kubbi_due
			WHERE owner = ?1 AND due BETWEEN 0 AND ?2 AND expires_at <= ?2 AND quota = 0 AND status = 0 LIMIT ?3)`},
		{&t.getUsed, "SELECT n FROM used WHERE ends = ? AND length = ? AND bucket = ?"},
		{&t.setUsed, "INSERT OR REPLACE INTO used (ends, length, bucket, n) VALUES (?, ?, ?, ?)"},
		{&t.unused, `DELETE FROM used WHERE (ends, length, bucket) IN
			(SELECT ends, length, bucket FROM used WHERE ends <= ? ORDER BY ends LIMIT ?)`},
		{&t.putNotice, "INSERT INTO notice (id, due, event, at, attempts, master_key, kubbi) VALUES (?, ?, ?, ?, 0, ?, ?)"},
		{&t.dueNotices, "SELECT seq, id, event, at, attempts, kubbi FROM notice INDEXED BY notice_due WHERE due <= ? ORDER BY due, seq LIMIT ?"},
		{&t.lease, "UPDATE notice SET due = ?, attempts = attempts + 1 WHERE seq = ?"},
		{&t.postpone, "UPDATE notice SET due = ? WHERE id = ?"},
		{&t.noticeKey, "SELECT master_key FROM notice WHERE id = ?"},
		{&t.dropNote, "DELETE FROM notice WHERE id = ?"},
		{&t.due, "SELECT number FROM kubbi INDEXED BY kubbi_due WHERE due BETWEEN ? AND ? ORDER BY due LIMIT ?"},
		{&t.spent, "SELECT kubbi, key FROM grace INDEXED BY grace_until WHERE until <= ? ORDER BY until LIMIT ?"},
		{&t.putAPIKey, "INSERT OR IGNORE INTO api_key (hash, " + keyColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"},
		{&t.revoke, "UPDATE api_key SET revoked_at = ifnull(revoked_at, ?) WHERE hash = ? RETURNING hash, " + keyColumns},
		{&t.putWiped, "INSERT INTO wiped (seq, slots) VALUES (?, ?)"},
		{&t.dropWiped, "DELETE FROM wiped WHERE seq = ?"},
		{&t.allWiped, "SELECT seq, slots FROM wiped"},
		{&t.slotOf, "SELECT slot FROM kubbi WHERE number = ?"},
		{&t.newest, "SELECT number, slot FROM (SELECT number, slot FROM kubbi ORDER BY number DESC LIMIT 1024) WHERE slot IS NOT NULL"},
		{&t.freePages, "PRAGMA freelist_count"},
		{&t.inflate, "INSERT INTO ballast VALUES (zeroblob(?))"},
		{&t.deflate, "DELETE FROM ballast"},
		{&t.cut, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", cutPages)},
		{&t.checkpoint, "PRAGMA wal_checkpoint(PASSIVE)"},
		{&t.touch, "UPDATE beside SET slots = slots"},
	})
}

// reset forgets what the last transaction left.
func (t *tx) reset() {
	clear(t.totals)
	clear(t.used)
	clear(t.made)
	t.wiped, t.bodies, t.made = t.wiped[:0], t.bodies[:0], t.made[:0]
	t.growing = false
	t.slots.Begin()
}

// flush writes what was put off to the end.
func (t *tx) flush() error {
	for k, d := range t.totals {
		if d == (total{}) {
			continue
		}
		if err := t.writeTotal(k, d); err != nil {
			return err
		}
	}
	for w, u := range t.used {
		if u.n == u.was {
			continue
		}
		if err := t.writeUsed(w, u.n); err != nil {
			return err
		}
	}
	return nil
}

// saveRow writes what a claim, a release or expiry changes.
func (t *tx) saveRow(r *row) error {
	s := t.save
	bindState(s, r)
	if r.grace.Until != store.Never {
		s.bindBytes(6, r.graceKey[:])
		s.bindInt(7, int64(r.grace.Until))
		s.bindInt(8, int64(r.grace.Number))
		s.bindInt(9, int64(r.grace.At))
	} else {
		for i := 6; i <= 9; i++ {
			s.bindNull(i)
		}
	}
	s.bindInt(10, b2i(r.graceMore))
	s.bindInt(11, int64(r.number))
	return s.run()
}

func bindState(s *stmt, r *row) {
	s.bindInt(1, int64(r.Status))
	s.bindInt(2, int64(r.Retrievals))
	s.bindTime(3, r.First)
	s.bindTime(4, r.Last)
	s.bindTime(5, r.Ended)
}

// wipeRow makes a tombstone of a terminal row. Its slot is overwritten once that
// is committed.
func (t *tx) wipeRow(r *row) error {
	if r.graceMore {
		t.graceClear.bindInt(1, int64(r.number))
		if err := t.graceClear.run(); err != nil {
			return err
		}
	}
	bindState(t.wipe, r)
	t.wipe.bindInt(6, int64(r.number))
	if err := t.wipe.run(); err != nil {
		return err
	}
	t.wiped = append(t.wiped, body.Used{Slot: r.slot, Number: int64(r.number)})
	if r.body >= 0 {
		t.bodies = append(t.bodies, int64(r.number))
	} else {
		t.dropPayload.bindInt(1, int64(r.number))
		if err := t.dropPayload.run(); err != nil {
			return err
		}
	}
	r.Sealed, r.slot, r.body = false, 0, -1
	r.grace, r.graceMore = store.Grace{Until: store.Never}, false
	r.notify, r.record = nil, nil
	t.totals.add(masterKeyUses, r.masterKey, total{n: -1})
	t.totals.add(wholeStore, "", total{bytes: -r.size})
	return nil
}

// settleRow writes a changed row back: as a tombstone if nothing needs its secret
// any more.
func (t *tx) settleRow(r *row, now store.Millis) error {
	last, err := t.lastGrace(r)
	if err != nil {
		return err
	}
	if r.Wipes(last, now) {
		return t.wipeRow(r)
	}
	return t.saveRow(r)
}

// lastGrace is when the last grace of a claim ends, store.Never without one.
func (t *tx) lastGrace(r *row) (store.Millis, error) {
	last := r.grace.Until
	if !r.graceMore {
		return last, nil
	}
	s := t.graceLast
	s.bindInt(1, int64(r.number))
	ok, err := s.step()
	if err != nil {
		return 0, err
	}
	if ok {
		last = max(last, s.time(0))
		s.reset()
	}
	return last, nil
}

// rearm sees to it that Sweep looks at the row in time. A due time that is too
// early does no harm, so it is left alone unless exact is set: most claims and
// releases then touch no index at all.
func (t *tx) rearm(r *row, exact bool) error {
	last, err := t.lastGrace(r)
	if err != nil {
		return err
	}
	due := r.Due(last)
	want := int64(due)
	if due == store.Never {
		want = int64(r.Ended) - tombstone
	}
	if r.due == want || !exact && due != store.Never && r.due > 0 && r.due < want {
		return nil
	}
	r.due = want
	t.setDue.bindInt(1, want)
	t.setDue.bindInt(2, int64(r.number))
	return t.setDue.run()
}
