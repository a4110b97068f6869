package sqlite

import (
	"errors"
	"fmt"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/body"
)

const (
	selectRow = "SELECT " + columns + " FROM kubbi WHERE number = ?"
	selectKey = "SELECT " + columns + " FROM kubbi INDEXED BY kubbi_key WHERE key_h = ? AND key = ?"
)

// tx is the writer's transaction: its statements, which are prepared once, and what
// is written once for all ops, at the end.
type tx struct {
	c     *conn
	slots *body.Slots

	begin, commit, rollback       *stmt
	inUse, byNumber, byKey        *stmt
	insert, putPayload, payload   *stmt
	dropRow, dropPayload          *stmt
	saveRow, wipeRow, setDue      *stmt
	forgetKey, keyAnswer          *stmt
	graces, putGrace, dropGrace   *stmt
	dropGraces, dropOldGraces     *stmt
	addTotal, owned               *stmt
	outlived, outlivedLoose       *stmt
	due                           *stmt
	getUsed, setUsed, dropOldUses *stmt
	putNotice, dueNotices         *stmt
	leaseNotice, postpone         *stmt
	dropNotice                    *stmt
	putAPIKey, revoke             *stmt
	putWiped, dropWiped, allWiped *stmt
	freePages, slotOf, newest     *stmt
	fillBallast, dropBallast      *stmt
	vacuum, checkpoint, touch     *stmt

	totals  totals
	used    map[store.Window]*uses
	wiped   []body.Used // slots to overwrite once this is committed
	bodies  []int64     // files to remove then
	creates []*creation // of this transaction
}

func (t *tx) prepare(c *conn) error {
	t.c = c
	t.totals = totals{}
	t.used = map[store.Window]*uses{}
	return c.prepare([]named{
		{&t.begin, "BEGIN IMMEDIATE"},
		{&t.commit, "COMMIT"},
		{&t.rollback, "ROLLBACK"},
		{&t.inUse, "SELECT EXISTS (SELECT 1 FROM kubbi WHERE number = ?) OR EXISTS (SELECT 1 FROM kubbi INDEXED BY kubbi_key WHERE key_h = ?)"},
		{&t.byNumber, selectRow},
		{&t.byKey, selectKey},
		{&t.insert, `INSERT INTO kubbi (number, due, status, slot, retrievals, grace_more, created_at, expires_at, max_retrievals, package,
			file_count, size, quota, hash, id, owner, master_key, content_type, key_h, key, key_until, key_request, key_answer,
			notify, record, body)
			VALUES (?, ?, 0, ?, 0, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`},
		{&t.putPayload, "INSERT OR REPLACE INTO payload (number, sealed) VALUES (?, ?)"},
		{&t.payload, "SELECT sealed FROM payload WHERE number = ?"},
		{&t.dropPayload, "DELETE FROM payload WHERE number = ?"},
		{&t.dropRow, "DELETE FROM kubbi WHERE number = ?"},
		{&t.saveRow, `UPDATE kubbi SET status = ?, retrievals = ?, first_at = ?, last_at = ?, ended_at = ?,
			grace_key = ?, grace_until = ?, grace_number = ?, grace_at = ?, grace_more = ? WHERE number = ?`},
		{&t.wipeRow, `UPDATE kubbi SET status = ?, retrievals = ?, first_at = ?, last_at = ?, ended_at = ?,
			grace_key = NULL, grace_until = NULL, grace_number = NULL, grace_at = NULL, grace_more = 0,
			slot = NULL, notify = NULL, record = NULL, body = NULL WHERE number = ?`},
		{&t.setDue, "UPDATE kubbi SET due = ? WHERE number = ?"},
		{&t.forgetKey, `UPDATE kubbi SET key_h = NULL, key = NULL, key_until = NULL, key_request = NULL, key_answer = NULL
			WHERE number = ?`},
		{&t.keyAnswer, "SELECT key_request, key_answer FROM kubbi WHERE number = ?"},
		{&t.graces, `SELECT max(until) FILTER (WHERE key <> ?2), max(until) FILTER (WHERE key = ?2),
			max(number) FILTER (WHERE key = ?2), max(at) FILTER (WHERE key = ?2) FROM grace WHERE kubbi = ?1`},
		{&t.putGrace, "INSERT OR REPLACE INTO grace (kubbi, key, until, number, at) VALUES (?, ?, ?, ?, ?)"},
		{&t.dropGrace, "DELETE FROM grace WHERE kubbi = ? AND key = ?"},
		{&t.dropOldGraces, `DELETE FROM grace WHERE (kubbi, key) IN
			(SELECT kubbi, key FROM grace INDEXED BY grace_until WHERE until <= ? ORDER BY until LIMIT ?)`},
		{&t.dropGraces, "DELETE FROM grace WHERE kubbi = ?"},
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
		{&t.dropOldUses, `DELETE FROM used WHERE (ends, length, bucket) IN
			(SELECT ends, length, bucket FROM used WHERE ends <= ? ORDER BY ends LIMIT ?)`},
		{&t.putNotice, "INSERT INTO notice (id, due, event, at, attempts, master_key, kubbi) VALUES (?, ?, ?, ?, 0, ?, ?)"},
		{&t.dueNotices, "SELECT seq, id, event, at, attempts, kubbi FROM notice INDEXED BY notice_due WHERE due <= ? ORDER BY due, seq LIMIT ?"},
		{&t.leaseNotice, "UPDATE notice SET due = ?, attempts = attempts + 1 WHERE seq = ?"},
		{&t.postpone, "UPDATE notice SET due = ? WHERE id = ?"},
		{&t.dropNotice, "DELETE FROM notice WHERE id = ? RETURNING master_key"},
		{&t.due, "SELECT number FROM kubbi INDEXED BY kubbi_due WHERE due BETWEEN ? AND ? ORDER BY due LIMIT ?"},
		{&t.putAPIKey, "INSERT OR IGNORE INTO api_key (hash, " + keyColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"},
		{&t.revoke, "UPDATE api_key SET revoked_at = ifnull(revoked_at, ?) WHERE hash = ? RETURNING hash, " + keyColumns},
		{&t.putWiped, "INSERT INTO wiped (seq, slots) VALUES (?, ?)"},
		{&t.dropWiped, "DELETE FROM wiped WHERE seq = ?"},
		{&t.allWiped, "SELECT seq, slots FROM wiped"},
		{&t.slotOf, "SELECT slot FROM kubbi WHERE number = ?"},
		{&t.newest, "SELECT number, slot FROM (SELECT number, slot FROM kubbi ORDER BY number DESC LIMIT 1024) WHERE slot IS NOT NULL"},
		{&t.freePages, "PRAGMA freelist_count"},
		{&t.fillBallast, "INSERT INTO ballast VALUES (zeroblob(?))"},
		{&t.dropBallast, "DELETE FROM ballast"},
		{&t.vacuum, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", vacuumPages)},
		{&t.checkpoint, "PRAGMA wal_checkpoint(PASSIVE)"},
		{&t.touch, "UPDATE beside SET slots = slots"},
	})
}

// start forgets the transaction before.
func (t *tx) start() {
	clear(t.totals)
	clear(t.used)
	clear(t.creates)
	t.wiped, t.bodies, t.creates = t.wiped[:0], t.bodies[:0], t.creates[:0]
	t.slots.Begin()
}

// alone runs do in a transaction of its own, which an error rolls back. do writes the
// totals itself.
func (t *tx) alone(do func() error) error {
	err := t.begin.run()
	if err == nil {
		clear(t.totals)
		err = do()
	}
	if err == nil {
		err = t.commit.run()
	}
	if err != nil && t.c.inTransaction() {
		err = errors.Join(err, t.rollback.run())
	}
	return err
}
