package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"kubbi-mcp/relay/store"
)

// States returns the states of kubbis: see store.Store. The mark is always 0, since plain SQL
// does not say whether another node has written something.
func (s *Store) States(ctx context.Context, numbers []store.Number, _ store.Mark, now time.Time) (states []store.State, _ store.Mark, err error) {
	list := make([]int64, len(numbers))
	for i, n := range numbers {
		list[i] = int64(n)
	}
	err = s.query(ctx, func() { states = nil }, func(rows pgx.Rows) error {
		var state store.State
		var l store.Life
		if err := rows.Scan((*int64)(&state.Number), &l.Status, &state.Retrievals, to(&l.Expires)); err != nil {
			return err
		}
		l.Expire(store.MillisOf(now))
		state.Status = l.Status
		states = append(states, state)
		return nil
	}, "SELECT number, status, retrievals, expires_at FROM kubbis WHERE number = ANY ($1::bigint[])", list)
	return states, 0, err
}
