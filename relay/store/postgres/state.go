package postgres

import (
	"bytes"
	"context"

	"github.com/jackc/pgx/v5"

	"kubbi-mcp/relay/store"
)

// What changes a kubbi holds a lock on its row, has store.Life decide and queues
// the statements that write what was decided.

// loadGraces reads what there is in the table graces, if anything. key may be nil.
func (q *session) loadGraces(ctx context.Context, r *row, key []byte) error {
	if !r.graceMore {
		return nil
	}
	var b pgx.Batch
	b.Queue(`SELECT max(until) FILTER (WHERE key <> $2), max(until) FILTER (WHERE key = $2),
		coalesce(max(number) FILTER (WHERE key = $2), 0), max(at) FILTER (WHERE key = $2)
		FROM graces WHERE kubbi = $1`, int64(r.number), orEmpty(key)).QueryRow(func(res pgx.Row) error {
		return res.Scan(to(&r.others), to(&r.mine.Until), &r.mine.Number, to(&r.mine.At))
	})
	return q.step(ctx, &b)
}

func orEmpty(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// graceOf is that of the key loadGraces was given, with Until Never if there
// is none.
func (r *row) graceOf(key []byte) store.Grace {
	if r.graceKey != nil && bytes.Equal(r.graceKey, key) {
		return r.grace
	}
	return r.mine
}

// setGrace keeps a grace: in the row, which is written later, if there is room.
func (r *row) setGrace(b *pgx.Batch, key []byte, g store.Grace, now store.Millis) {
	if r.graceKey == nil || bytes.Equal(r.graceKey, key) || r.grace.Until <= now {
		r.graceKey, r.grace = key, g
		return
	}
	r.graceMore, r.mine = true, g
	b.Queue(`INSERT INTO graces (kubbi, key, until, number, at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (kubbi, key) DO UPDATE SET until = excluded.until, number = excluded.number, at = excluded.at`,
		int64(r.number), key, when(g.Until), g.Number, when(g.At))
}

// endGrace drops the grace of the key loadGraces was given, and tells whether
// there was one.
func (r *row) endGrace(b *pgx.Batch, key []byte) bool {
	if r.graceKey != nil && bytes.Equal(r.graceKey, key) {
		r.graceKey = nil
		return true
	}
	if r.mine.Until == never {
		return false
	}
	r.mine.Until = never
	b.Queue("DELETE FROM graces WHERE kubbi = $1 AND key = $2", int64(r.number), key)
	return true
}

// lastGrace is when the last grace of a claim ends, Never without one.
func (r *row) lastGrace() store.Millis {
	last := max(r.mine.Until, r.others)
	if r.graceKey != nil {
		last = max(last, r.grace.Until)
	}
	return last
}

// write queues a changed row, wiped if nothing needs its secret any more. exact is
// whether due is set to a later time too: one that is too early does no harm,
// and an index less is written.
func (r *row) write(b *pgx.Batch, now store.Millis, exact bool) (wiped bool) {
	wiped = r.Wipes(r.lastGrace(), now)
	chunks, graces := r.pieces > 0, r.graceMore
	if wiped {
		r.wipe()
	}
	r.rearm(exact)
	if wiped {
		r.queueWipe(b, chunks, graces)
		return true
	}
	g := &r.grace
	if r.graceKey == nil {
		g = &store.Grace{Until: never, At: never}
	}
	b.Queue(`UPDATE kubbis SET status = $2, retrievals = $3, first_at = $4, last_at = $5, ended_at = $6, done = $7, due = $8,
		grace_key = $9, grace_until = $10, grace_number = $11, grace_at = $12, grace_more = $13 WHERE number = $1`,
		int64(r.number), r.Status, r.Retrievals, when(r.First), when(r.Last), when(r.Ended), r.done, when(r.due),
		r.graceKey, when(g.Until), g.Number, when(g.At), r.graceMore)
	return false
}

// wipe makes a tombstone of the row.
func (r *row) wipe() {
	r.Sealed, r.graceMore, r.pieces = false, false, 0
	r.secret, r.graceKey, r.record, r.notify = nil, nil, nil, nil
	r.mine, r.others = store.Grace{Until: never}, never
}

// wiped are the columns that a wipe overwrites.
const wiped = `secret = NULL, record = NULL, notify = NULL, payload = NULL, pieces = 0,
	grace_key = NULL, grace_until = NULL, grace_number = NULL, grace_at = NULL, grace_more = false`

// queueWipe queues a tombstone, and what else there may be of the kubbi.
func (r *row) queueWipe(b *pgx.Batch, chunks, graces bool) {
	if chunks {
		b.Queue("DELETE FROM chunks WHERE kubbi = $1", int64(r.number))
	}
	if graces {
		b.Queue("DELETE FROM graces WHERE kubbi = $1", int64(r.number))
	}
	b.Queue(`UPDATE kubbis SET status = $2, retrievals = $3, first_at = $4, last_at = $5, ended_at = $6, done = $7, due = $8,
		`+wiped+` WHERE number = $1`,
		int64(r.number), r.Status, r.Retrievals, when(r.First), when(r.Last), when(r.Ended), r.done, when(r.due))
}

// rearm sees to it that Sweep looks at the row in time.
func (r *row) rearm(exact bool) {
	switch due := r.Due(r.lastGrace()); {
	case due == never:
		r.done, r.due = true, r.Ended
	case exact || due < r.due:
		r.due = due
	}
}
