package postgres

import (
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"kubbi-mcp/relay/store"
)

// Most kubbis are small, and are claimed once and released once. For these, one statement is
// a whole claim or release. In any other case the statement changes no row, and the general
// path with store.Row is used.

const (
	onceChange = `UPDATE kubbis AS k SET status = $3, retrievals = $4, first_at = $5, last_at = $5, ended_at = $5, `
	onceRow    = ` WHERE k.number = $1 AND k.token = $2 AND k.status = 0 AND k.max_retrievals = 1 AND k.retrievals = 0 AND k.expires_at > $5
		AND k.notify IS NULL AND k.payload IS NOT NULL AND k.grace_key IS NULL AND NOT k.grace_more
		AND ($6::text[] IS NULL OR k.master_key = ANY ($6::text[])) RETURNING `

	// claimOnce is the claim without a key. It counts and wipes, and returns the row as it was
	// before.
	claimOnce = onceChange + `done = (k.key IS NULL), due = CASE WHEN k.key IS NULL THEN $5 ELSE k.due END, ` + wiped +
		` FROM (SELECT ` + columns + `, payload FROM kubbis WHERE number = $1) AS before` + onceRow + `before.*`

	// claimOnceKeyed only counts, since the key may claim again. It returns the row as it is
	// then.
	claimOnceKeyed = onceChange + `due = least(due, $8::bigint), grace_key = $7, grace_until = $8, grace_number = $4, grace_at = $5` +
		onceRow + columns + ", payload"

	releaseOnce = `UPDATE kubbis SET done = (key IS NULL), due = CASE WHEN key IS NULL THEN ended_at ELSE due END, ` + wiped +
		` WHERE number = $1 AND token = $2 AND grace_key = $3 AND status = $4 AND NOT grace_more AND pieces = 0`
)

// queueOnce queues the claim of a kubbi that allows one retrieval and was not claimed yet.
func (c *claim) queueOnce(b *pgx.Batch, whole *bool) {
	args := []any{int64(c.Token.Number), c.Token.Hash[:], store.Burned, 1, millis(c.Now), c.Opens}
	sql := claimOnce
	if c.Key != nil {
		sql = claimOnceKeyed
		args = append(args, c.Key.Key[:], millis(c.Grace(1).Until))
	}
	b.Queue(sql, args...).QueryRow(func(res pgx.Row) error {
		err := c.row.scan(res, &c.inRow)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if *whole = err == nil; c.Key == nil {
			c.row.Count(c.Now)
		}
		return err
	})
}

// changes sets whole if a statement has changed a row.
func changes(whole *bool) func(pgconn.CommandTag) error {
	return func(tag pgconn.CommandTag) error {
		*whole = tag.RowsAffected() > 0
		return nil
	}
}
