package postgres

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"kubbi-mcp/relay/store"
)

// Most kubbis are small, and are claimed once and released once. For these, one statement is
// a whole claim or release. In any other case the statement changes no row, and the general
// path with store.Row is used.

const (
	onceChange = `UPDATE kubbis SET status = $3, retrievals = $4, first_at = $5, last_at = $5, ended_at = $5, `
	onceRow    = ` WHERE number = $1 AND token = $2 AND status = 0 AND max_retrievals = 1 AND retrievals = 0 AND expires_at > $5
		AND notify IS NULL AND payload IS NOT NULL AND grace_key IS NULL AND NOT grace_more
		AND ($6::text[] IS NULL OR master_key = ANY ($6::text[])) RETURNING `
	// onceDue is the Due of a wiped row.
	onceDue = `done = (key IS NULL), due = CASE WHEN key IS NULL THEN ended_at ELSE due END, `

	claimOnceKeyed = onceChange + `due = least(due, $8::bigint), grace_key = $7, grace_until = $8, grace_number = $4, grace_at = $5` +
		onceRow + columns + ", payload"
	releaseOnce = `UPDATE kubbis SET ` + onceDue + wiped + ` WHERE number = $1 AND token = $2 AND grace_key = $3 AND status = $4
		AND NOT grace_more AND pieces = 0`
)

// claimOnce is the claim without a key. It counts and wipes in one statement, and returns
// secret, record and payload as they were before. claimOnceKeyed only counts, since the
// key may claim again.
var claimOnce = onceChange + `done = (key IS NULL), due = CASE WHEN key IS NULL THEN $5 ELSE due END, ` + wiped +
	` FROM (SELECT number AS n, secret AS s, record AS r, payload AS p FROM kubbis WHERE number = $1) AS before` +
	strings.Replace(onceRow, " AND token", " AND n = number AND token", 1) +
	strings.NewReplacer(" secret,", " s,", " record,", " r,").Replace(columns) + ", p"

// queueOnce queues the claim of a kubbi that allows one retrieval and was not claimed yet. It
// sets done if the kubbi is such a one; otherwise the statement changes nothing.
func (c *claim) queueOnce(b *pgx.Batch, done *bool) {
	after := store.NewLife(1, store.Never)
	after.Count(c.Now)
	args := []any{int64(c.Token.Number), c.Token.Hash[:], after.Status, after.Retrievals, millis(after.Ended), c.Opens}
	sql := claimOnce
	if c.Key != nil {
		sql = claimOnceKeyed
		args = append(args, c.Key.Key[:], millis(c.Grace(after.Retrievals).Until))
	}
	b.Queue(sql, args...).QueryRow(func(res pgx.Row) error {
		err := c.row.scan(res, &c.inRow)
		*done = err == nil
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
}

// claim claims a kubbi, in a group if the single statement is enough.
func (s *Store) claim(ctx context.Context, c *claim) error {
	var done bool
	unknown, err := s.commitInGroup(ctx, c.Token.Number, func(b *pgx.Batch) { c.queueOnce(b, &done) })
	switch {
	case err == nil && done:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case unknown && c.Key == nil:
		return storeError(err)
	}
	return s.runIn(ctx, unknown, func(q *session) error { return c.claim(ctx, q) })
}

// release ends a grace, in a group if the kubbi has burned and no other key has claimed it.
func (s *Store) release(ctx context.Context, token store.Token, key store.Hash, now store.Millis) error {
	var done bool
	unknown, err := s.commitInGroup(ctx, token.Number, func(b *pgx.Batch) {
		b.Queue(releaseOnce, int64(token.Number), token.Hash[:], key[:], store.Burned).Exec(func(tag pgconn.CommandTag) error {
			done = tag.RowsAffected() > 0
			return nil
		})
	})
	switch {
	case err == nil && done:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return s.runIn(ctx, unknown, func(q *session) error { return release(ctx, q, token, key, now) })
}
