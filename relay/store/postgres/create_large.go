package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"kubbi-mcp/relay/store"
)

// A large payload is sent while it is read, so its create can't start again from the
// beginning. Only what comes before the first piece, and the check of the result, is
// tried again.

// large stores a payload whose first piece is in last.
func (c *creation) large(ctx context.Context) error {
	defer func() {
		if c.tx != nil {
			c.tx.release(ctx)
		}
	}()
	// Most of what is refused is refused here, before it is sent.
	done := false
	err := c.s.runIn(ctx, false, func(q *session) (err error) {
		done, err = c.look(ctx, q, begin())
		return c.full(q, err)
	})
	if err != nil || done {
		return err
	}
	if c.seen.keyed {
		return c.drain(ctx)
	}
	if c.tx, err = c.s.acquire(ctx); err != nil {
		return err
	}
	if err := c.tx.step(ctx, begin()); err != nil {
		return c.failed(ctx, err)
	}
	for c.pieces = 1; !c.read.ended(); c.pieces++ {
		var b pgx.Batch
		b.Queue(insertChunk, int64(c.row.Number), c.pieces-1, c.last)
		if err := c.tx.step(ctx, &b); err != nil {
			return c.raced(ctx, err)
		}
		if c.last, err = c.read.next(0); err != nil {
			return err
		}
	}
	return c.finish(ctx)
}

// drain reads the rest of a payload whose key another kubbi has in its grace: only its
// end shows whether it is the same request.
func (c *creation) drain(ctx context.Context) error {
	for !c.read.ended() {
		if _, err := c.read.next(0); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return c.settle(ctx, false, errGone)
}

// finish stores the kubbi with its last piece, and commits.
func (c *creation) finish(ctx context.Context) error {
	done, err := c.look(ctx, c.tx, &pgx.Batch{})
	if done {
		return nil
	}
	if err == nil {
		err = c.put(ctx, c.tx)
	}
	if err != nil {
		return c.raced(ctx, err)
	}
	return nil
}

// raced turns an error into the answer, if another create was faster with the
// same number or key, or if this one was committed after all.
func (c *creation) raced(ctx context.Context, err error) error {
	doubt := c.tx.unknown
	if !violates(err) && !doubt || ctx.Err() != nil {
		return c.failed(ctx, err)
	}
	c.tx.release(ctx)
	c.tx = nil
	if !c.read.ended() {
		return c.drain(ctx)
	}
	return c.settle(ctx, doubt, err)
}

// settle checks whether a kubbi is stored after all in spite of err.
func (c *creation) settle(ctx context.Context, doubt bool, err error) error {
	c.quota = store.Quota{} // others may have used it up since
	done := false
	lerr := c.s.runIn(ctx, doubt, func(q *session) (lerr error) {
		done, lerr = c.look(ctx, q, begin())
		return lerr
	})
	if lerr != nil || done {
		return lerr
	}
	return fmt.Errorf("%w: payload was not stored: %w", store.ErrUnavailable, explain(err))
}

// failed is the answer to an error that needs no check.
func (c *creation) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return explain(c.full(c.tx, err))
}
