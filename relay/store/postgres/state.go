package postgres

import (
	"bytes"
	"context"

	"github.com/jackc/pgx/v5"

	"kubbi-mcp/relay/store"
)

// What changes a kubbi holds a lock on its row, decides here and queues the
// statements that write what was decided.

// loadGraces reads what there is in the table grace, if anything. key may be nil.
func (q *session) loadGraces(ctx context.Context, r *row, key []byte) error {
	if !r.graceMore {
		return nil
	}
	var b pgx.Batch
	b.Queue(`SELECT max(until) FILTER (WHERE key <> $2), max(until) FILTER (WHERE key = $2),
		coalesce(max(number) FILTER (WHERE key = $2), 0), max(at) FILTER (WHERE key = $2)
		FROM grace WHERE kubbi = $1`, r.id, orEmpty(key)).QueryRow(func(res pgx.Row) error {
		return res.Scan(&r.others, &r.mine.until, &r.mine.number, &r.mine.at)
	})
	return q.step(ctx, &b)
}

func orEmpty(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// graceOf is that of the key loadGraces was given, with until never if there
// is none.
func (r *row) graceOf(key []byte) grace {
	if r.graceKey != nil && bytes.Equal(r.graceKey, key) {
		return r.grace
	}
	return r.mine
}

// setGrace keeps a grace: in the row, which is written later, if there is room.
func (r *row) setGrace(b *pgx.Batch, key []byte, g grace, now when) {
	if r.graceKey == nil || bytes.Equal(r.graceKey, key) || r.grace.until <= now {
		r.graceKey, r.grace = key, g
		return
	}
	r.graceMore, r.mine = true, g
	b.Queue(`INSERT INTO grace (kubbi, key, until, number, at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (kubbi, key) DO UPDATE SET until = excluded.until, number = excluded.number, at = excluded.at`,
		r.id, key, g.until, g.number, g.at)
}

// endGrace drops the grace of the key loadGraces was given, and tells whether
// there was one.
func (r *row) endGrace(b *pgx.Batch, key []byte) bool {
	if r.graceKey != nil && bytes.Equal(r.graceKey, key) {
		r.graceKey = nil
		return true
	}
	if r.mine.until == never {
		return false
	}
	r.mine.until = never
	b.Queue("DELETE FROM grace WHERE kubbi = $1 AND key = $2", r.id, key)
	return true
}

// lastGrace is when the last grace of a claim ends, never without one.
func (r *row) lastGrace() when {
	last := max(r.mine.until, r.others)
	if r.graceKey != nil {
		last = max(last, r.grace.until)
	}
	return last
}

// write queues a changed row: as a tombstone if it is terminal and no grace is
// open. exact is whether due is set to a later time too: one that is too early
// does no harm, and an index less is written.
func (r *row) write(b *pgx.Batch, now when, exact bool) (wiped bool) {
	wiped = r.sealed && r.status != store.Active && r.lastGrace() <= now
	if wiped {
		r.wipe()
	}
	r.rearm(exact)
	if wiped {
		r.queueWipe(b)
		return true
	}
	g := &r.grace
	if r.graceKey == nil {
		g = &grace{until: never, at: never}
	}
	b.Queue(`UPDATE kubbi SET status = $2, retrievals = $3, first_at = $4, last_at = $5, ended_at = $6, due = $7,
		grace_key = $8, grace_until = $9, grace_number = $10, grace_at = $11, grace_more = $12 WHERE id = $1`,
		r.id, r.status, r.retrievals, r.first, r.last, r.ended, r.due, r.graceKey, g.until, g.number, g.at, r.graceMore)
	return false
}

// wipe makes a tombstone of the row.
func (r *row) wipe() {
	r.sealed, r.graceMore = false, false
	r.graceKey, r.files, r.metadata, r.notify = nil, nil, nil, nil
	r.mine, r.others = grace{until: never}, never
}

func (r *row) queueWipe(b *pgx.Batch) {
	b.Queue(`WITH payload AS (DELETE FROM chunk WHERE kubbi = $1), keys AS (DELETE FROM grace WHERE kubbi = $1)
		UPDATE kubbi SET status = $2, retrievals = $3, first_at = $4, last_at = $5, ended_at = $6, due = $7, sealed = false,
		grace_key = NULL, grace_until = NULL, grace_number = NULL, grace_at = NULL, grace_more = false,
		files = NULL, metadata = NULL, notify = NULL WHERE id = $1`,
		r.id, r.status, r.retrievals, r.first, r.last, r.ended, r.due)
}

// rearm sees to it that Sweep looks at the row in time.
func (r *row) rearm(exact bool) {
	want := never
	sooner := func(v when) {
		if v != never && (want == never || v < want) {
			want = v
		}
	}
	if r.status == store.Active {
		sooner(r.expires)
	}
	if r.key != nil {
		sooner(r.keyUntil)
	}
	if r.sealed {
		sooner(r.lastGrace())
	}
	if exact || want == never || r.due == never || want < r.due {
		r.due = want
	}
}
