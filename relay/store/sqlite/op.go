package sqlite

import (
	"context"
	"sync/atomic"
)

// op is one change, made in a transaction together with others.
type op struct {
	ctx context.Context
	// do makes the change. An error that is not the data base's own must come
	// before the first write, for what else is in the transaction is kept.
	// After a rollback do may be run again, from the start.
	do func(*tx) error
	// drop, if it is set, lets go of what do has opened where nobody gets it.
	drop   func()
	erases bool // done when what it wiped is overwritten on the disk
	bytes  int64
	state  atomic.Int32
	done   chan error // room for one
}

// The states of an op.
const (
	opQueued int32 = iota
	opTaken
	opAbandoned // nobody waits for it any more
	opDone
)

// finish gives an op its result. It belongs to its caller again then.
func (o *op) finish(err error) {
	if !o.state.CompareAndSwap(opTaken, opDone) || err != nil {
		if o.drop != nil {
			o.drop()
		}
	}
	o.done <- err
}
