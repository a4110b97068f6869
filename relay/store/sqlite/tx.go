package sqlite

import (
	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/body"
)

// tx is the writer's transaction: its connection, and what is written once at the end for all
// ops.
type tx struct {
	*conn
	slots *body.Slots

	totals  totals
	used    map[store.Window]*uses
	wiped   []body.Used // slots to overwrite after the commit
	bodies  []int64     // files to remove after the commit
	creates []*creation // of this transaction
}

func newTx(c *conn) tx { return tx{conn: c, totals: totals{}, used: map[store.Window]*uses{}} }

// start clears the data of the previous transaction.
func (t *tx) start() {
	clear(t.totals)
	clear(t.used)
	clear(t.creates)
	t.wiped, t.bodies, t.creates = t.wiped[:0], t.bodies[:0], t.creates[:0]
	t.slots.Begin()
}

// alone runs do in a transaction of its own, which an error rolls back, and writes the
// totals.
func (t *tx) alone(do func() error) error {
	clear(t.totals)
	return t.transaction(func() error {
		if err := do(); err != nil {
			return err
		}
		return t.writeTotals()
	})
}
