package sqlite

import (
	"kubbi-mcp/relay/store"
)

// tx is the writer's transaction: its statements, and what is written once for
// all ops at its end. The embedded statements are prepared once.
type tx struct {
	c *conn

	begin, commit, rollback       *stmt
	taken                         *stmt
	byToken, byID, byKey, bySeq   *stmt
	insert, insertChunk, chunks   *stmt
	save, wipe, setDue, forgetKey *stmt
	wipeChunks                    *stmt
	keyAnswer                     *stmt
	graceGet, gracePut, graceDel  *stmt
	graceLast, graceClear         *stmt
	counter, addTotal, owned      *stmt
	outlived, outlivedLoose       *stmt
	due, spent, ended, gone       *stmt
	hide, drop, unused            *stmt
	getUsed, setUsed              *stmt
	putNotice, dueNotices, lease  *stmt
	postpone, noticeKey, dropNote *stmt
	putAPIKey, revoke             *stmt
	getPage, putPage              *stmt

	next    int64 // the counter, 0: not read yet
	written int64 // the counter as it stands in the table
	totals  totals
	used    map[window]*use
	wiped   bool // something was wiped
}

func (t *tx) prepare(c *conn) error {
	t.c = c
	t.totals = totals{}
	t.used = map[window]*use{}
	for _, p := range []struct {
		to  **stmt
		sql string
	}{
		{&t.begin, "BEGIN IMMEDIATE"},
		{&t.commit, "COMMIT"},
		{&t.rollback, "ROLLBACK"},
		{&t.taken, `SELECT EXISTS (SELECT 1 FROM kubbi INDEXED BY kubbi_token WHERE token_h = ?)
			OR EXISTS (SELECT 1 FROM kubbi INDEXED BY kubbi_id WHERE id_h = ?)
			OR EXISTS (SELECT 1 FROM kubbi INDEXED BY kubbi_key WHERE key_h = ?)`},
		{&t.byToken, selectByToken},
		{&t.byID, selectByID},
		{&t.byKey, selectByKey},
		{&t.bySeq, selectBySeq},
		{&t.insert, `INSERT INTO kubbi (seq, token_h, id_h, key_h, due, status, payload, retrievals, grace_more, key_until,
			created_at, expires_at, max_retrievals, package, file_count, size,
			token, id, owner, master_key, content_type, key, key_request, key_answer, files, metadata, quota, notify)
			VALUES (?, ?, ?, ?, ?, 0, 1, 0, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`},
		{&t.insertChunk, "INSERT INTO chunk (k, part, idx, sealed) VALUES (?, ?, ?, ?)"},
		{&t.chunks, "SELECT part, idx, sealed FROM chunk WHERE k >= ? AND k < ? ORDER BY k"},
		{&t.save, `UPDATE kubbi SET status = ?, retrievals = ?, first_at = ?, last_at = ?, ended_at = ?,
			grace_key = ?, grace_until = ?, grace_number = ?, grace_at = ?, grace_more = ? WHERE seq = ?`},
		{&t.wipe, `UPDATE kubbi SET status = ?, retrievals = ?, first_at = ?, last_at = ?, ended_at = ?,
			grace_key = NULL, grace_until = NULL, grace_number = NULL, grace_at = NULL, grace_more = 0,
			payload = 0, files = NULL, metadata = NULL, notify = NULL WHERE seq = ?`},
		{&t.wipeChunks, "DELETE FROM chunk WHERE k > ? AND k < ?"},
		{&t.setDue, "UPDATE kubbi SET due = ? WHERE seq = ?"},
		{&t.forgetKey, `UPDATE kubbi SET key_h = NULL, key = NULL, key_request = NULL, key_answer = NULL, key_until = NULL
			WHERE seq = ?`},
		{&t.keyAnswer, "SELECT key_request, key_answer FROM kubbi WHERE seq = ?"},
		{&t.graceGet, "SELECT until, number, at FROM grace WHERE seq = ? AND key = ?"},
		{&t.gracePut, "INSERT OR REPLACE INTO grace (seq, key, until, number, at) VALUES (?, ?, ?, ?, ?)"},
		{&t.graceDel, "DELETE FROM grace WHERE seq = ? AND key = ?"},
		{&t.graceLast, "SELECT max(until) FROM grace WHERE seq = ?"},
		{&t.graceClear, "DELETE FROM grace WHERE seq = ?"},
		{&t.counter, selectCounter},
		{&t.addTotal, `INSERT INTO total (kind, name, n, active, loose, expired, burned, deleted, bytes, notices)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n, active = active + excluded.active,
			loose = loose + excluded.loose, expired = expired + excluded.expired, burned = burned + excluded.burned,
			deleted = deleted + excluded.deleted, bytes = bytes + excluded.bytes, notices = notices + excluded.notices`},
		{&t.owned, "SELECT active, loose FROM total WHERE kind = 0 AND name = ?"},
		{&t.outlived, `SELECT count(*) FROM (SELECT 1 FROM kubbi INDEXED BY kubbi_quota
			WHERE owner = ? AND expires_at <= ? AND quota = 1 AND status = 0 LIMIT ?)`},
		{&t.outlivedLoose, `SELECT count(*) FROM (SELECT 1 FROM kubbi INDEXED BY kubbi_due
			WHERE owner = ? AND due <= ?2 AND expires_at <= ?2 AND quota = 0 AND status = 0 LIMIT ?3)`},
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
		{&t.due, "SELECT seq FROM kubbi INDEXED BY kubbi_due WHERE due <= ? ORDER BY due LIMIT ?"},
		{&t.spent, "SELECT seq, key FROM grace INDEXED BY grace_until WHERE until <= ? ORDER BY until LIMIT ?"},
		{&t.ended, "SELECT seq FROM kubbi INDEXED BY kubbi_ended WHERE ended_at < ? AND due IS NULL AND removed IS NULL ORDER BY ended_at LIMIT ?"},
		{&t.gone, `SELECT seq FROM (SELECT seq, removed_at FROM kubbi INDEXED BY kubbi_removed WHERE removed IS NOT NULL
			ORDER BY removed LIMIT ?2) WHERE removed_at < ?1`},
		{&t.hide, "UPDATE kubbi SET removed = ?, removed_at = ? WHERE seq = ?"},
		{&t.drop, "DELETE FROM kubbi WHERE seq = ?"},
		{&t.getPage, "SELECT data FROM sqlite_dbpage WHERE pgno = ?"},
		{&t.putPage, "UPDATE sqlite_dbpage SET data = ? WHERE pgno = ?"},
		{&t.putAPIKey, "INSERT OR IGNORE INTO api_key (hash, " + keyColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"},
		{&t.revoke, "UPDATE api_key SET revoked_at = ifnull(revoked_at, ?) WHERE hash = ? RETURNING hash, " + keyColumns},
	} {
		s, err := c.prepare(p.sql)
		if err != nil {
			return err
		}
		*p.to = s
	}
	return nil
}

// reset forgets what the last transaction left.
func (t *tx) reset() {
	t.next, t.written, t.wiped = 0, 0, false
	clear(t.totals)
	clear(t.used)
}

// flush writes what was put off to the end.
func (t *tx) flush() error {
	if n := t.next - t.written; n != 0 {
		t.totals.add(wholeStore, "", total{n: n})
	}
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

// number draws from the counter, which orders creations and removals across
// all processes.
func (t *tx) number() (int64, error) {
	if t.next == 0 {
		row, err := t.counter.step()
		if err != nil {
			return 0, err
		}
		if !row {
			return 0, errNoCounter
		}
		t.next = t.counter.int(0)
		t.written = t.next
		t.counter.reset()
	}
	t.next++
	return t.next - 1, nil
}

// saveRow writes what a claim, a release or expiry changes.
func (t *tx) saveRow(r *row) error {
	s := t.save
	if err := s.args(len(r.graceKey)); err != nil {
		return err
	}
	bindState(s, r)
	if r.hasGrace {
		s.bindBytes(6, r.graceKey[:])
		s.bindInt(7, r.graceUntil)
		s.bindInt(8, int64(r.graceNumber))
		s.bindInt(9, r.graceAt)
	} else {
		for i := 6; i <= 9; i++ {
			s.bindNull(i)
		}
	}
	s.bindInt(10, b2i(r.graceMore))
	s.bindInt(11, r.seq)
	return s.run()
}

func bindState(s *stmt, r *row) {
	s.bindInt(1, int64(r.status))
	s.bindInt(2, int64(r.retrievals))
	s.bindTime(3, r.first)
	s.bindTime(4, r.last)
	s.bindTime(5, r.ended)
}

// wipeRow makes a tombstone of a terminal row.
func (t *tx) wipeRow(r *row) error {
	if r.graceMore {
		if err := t.graceClear.args(0); err != nil {
			return err
		}
		t.graceClear.bindInt(1, r.seq)
		if err := t.graceClear.run(); err != nil {
			return err
		}
	}
	if r.size > store.MaxChunk {
		// The statement below would take these along as well, but since it might
		// fail half way SQLite would hold all of their pages until it is done.
		s := t.wipeChunks
		if err := s.args(0); err != nil {
			return err
		}
		s.bindInt(1, r.seq<<chunkBits)
		s.bindInt(2, (r.seq+1)<<chunkBits)
		if err := s.run(); err != nil {
			return err
		}
	}
	s := t.wipe
	if err := s.args(0); err != nil {
		return err
	}
	bindState(s, r)
	s.bindInt(6, r.seq)
	if err := s.run(); err != nil {
		return err
	}
	r.sealed, r.hasGrace, r.graceMore = false, false, false
	r.files, r.metadata, r.notify = nil, nil, nil
	t.totals.add(masterKeyUses, r.masterKey, total{n: -1})
	t.totals.add(wholeStore, "", total{bytes: -r.size})
	t.wiped = true
	return nil
}

// lastGrace is when the last grace of a claim ends, never without one.
func (t *tx) lastGrace(r *row) (int64, error) {
	last := int64(never)
	if r.hasGrace {
		last = r.graceUntil
	}
	if !r.graceMore {
		return last, nil
	}
	s := t.graceLast
	if err := s.args(0); err != nil {
		return 0, err
	}
	s.bindInt(1, r.seq)
	row, err := s.step()
	if err != nil {
		return 0, err
	}
	if row {
		last = max(last, s.time(0))
		s.reset()
	}
	return last, nil
}

// rearm sees to it that Sweep looks at the row in time. A due time that is too
// early does no harm, so it is left alone unless exact is set: most claims and
// releases then touch no index at all.
func (t *tx) rearm(r *row, exact bool) error {
	want := int64(never)
	sooner := func(v int64) {
		if want == never || v < want {
			want = v
		}
	}
	if r.status == store.Active {
		sooner(r.expires)
	}
	if r.hasKey {
		sooner(r.keyUntil)
	}
	if r.sealed {
		last, err := t.lastGrace(r)
		if err != nil {
			return err
		}
		if last != never {
			sooner(last)
		}
	}
	if r.due == want || !exact && want != never && r.due != never && r.due < want {
		return nil
	}
	if err := t.setDue.args(0); err != nil {
		return err
	}
	t.setDue.bindTime(1, want)
	t.setDue.bindInt(2, r.seq)
	r.due = want
	return t.setDue.run()
}

func b2i(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
