package postgres

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"kubbi-mcp/relay/store"
)

// Most kubbis are small, are claimed once and released once. For these one
// statement is enough, which finds no row where anything is out of the ordinary:
// then the careful way decides.

const (
	onceChange = `UPDATE kubbis SET status = $3, retrievals = $4, first_at = $5, last_at = $5, ended_at = $5, `
	onceRow    = ` WHERE number = $1 AND token = $2 AND status = 0 AND max_retrievals = 1 AND retrievals = 0 AND expires_at > $5
		AND notify IS NULL AND payload IS NOT NULL AND grace_key IS NULL AND NOT grace_more
		AND ($6::text[] IS NULL OR master_key = ANY ($6::text[])) RETURNING `
	// onceDue is store.Life.Due of what is wiped.
	onceDue = `done = (key IS NULL), due = CASE WHEN key IS NULL THEN ended_at ELSE due END, `

	claimOnceKeyed = onceChange + `due = least(due, $8::bigint), grace_key = $7, grace_until = $8, grace_number = $4, grace_at = $5` +
		onceRow + columns + ", payload"
	releaseOnce = `UPDATE kubbis SET ` + onceDue + wiped + ` WHERE number = $1 AND token = $2 AND grace_key = $3 AND status = $4
		AND NOT grace_more AND pieces = 0`
)

// claimOnce wipes too, and gives what it overwrites, which is the same as long as
// a kubbi is active.
var claimOnce = onceChange + `done = (key IS NULL), due = CASE WHEN key IS NULL THEN $5 ELSE due END, ` + wiped +
	` FROM (SELECT number AS n, secret AS s, record AS r, payload AS p FROM kubbis WHERE number = $1) AS before` +
	strings.Replace(onceRow, " AND token", " AND n = number AND token", 1) +
	strings.NewReplacer(" secret,", " s,", " record,", " r,").Replace(columns) + ", p"

// once claims a kubbi that may be claimed once, and has not been. It is false if
// the kubbi is not one of those: nothing was done.
func (c *claim) once(ctx context.Context, q *session) (done bool, err error) {
	after := store.Life{MaxRetrievals: 1, First: never, Last: never, Ended: never}
	after.Count(c.now)
	args := []any{int64(c.token.Number), c.token.Hash[:], after.Status, after.Retrievals, when(after.Ended), c.opens}
	sql := claimOnce
	c.number = after.Retrievals
	if c.key != nil {
		sql = claimOnceKeyed
		args = append(args, c.key.Key[:], when(c.grace().Until))
	}
	var inRow []byte
	var b pgx.Batch
	b.Queue(sql, args...).QueryRow(func(res pgx.Row) error {
		err := c.row.scan(res, &inRow)
		done = err == nil
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	if err := c.known(q, q.apply(ctx, &b)); err != nil || !done {
		return false, err
	}
	return true, c.payload.add(inRow)
}

// onceReleased releases a kubbi that has burned and that no other key has claimed.
// It is false if the kubbi is not one of those: nothing was done.
func onceReleased(ctx context.Context, q *session, token store.Token, key store.Hash) (done bool, err error) {
	var b pgx.Batch
	b.Queue(releaseOnce, int64(token.Number), token.Hash[:], key[:], store.Burned).Exec(func(tag pgconn.CommandTag) error {
		done = tag.RowsAffected() > 0
		return nil
	})
	return done, q.apply(ctx, &b)
}
