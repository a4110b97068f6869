package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"kubbi-mcp/relay/store"
)

// A large payload is read once and sent while it is read, so that its create
// can't be made again from the start. What is tried again is all before the
// first chunk is sent, and the look at what became of it.

// flush sends what is held. It is done if the kubbi need not be stored.
func (c *creation) flush(ctx context.Context) (done bool, err error) {
	if c.tx == nil {
		// Most of what is refused is refused here, before it is sent.
		err := c.s.run(ctx, func(q *session) (err error) {
			if err = c.addOwner(ctx, q); err == nil {
				done, err = c.look(ctx, q, begin())
			}
			return err
		})
		if err != nil || done {
			return done, err
		}
		if c.tx, err = c.s.acquire(ctx); err != nil {
			return false, err
		}
		if err := c.tx.step(ctx, begin()); err != nil {
			return false, c.failed(ctx, err)
		}
	}
	var b pgx.Batch
	b.Queue(insertChunks, c.id, c.held.ordinal, c.held.part, c.held.index, c.held.sealed)
	if err := c.tx.step(ctx, &b); err != nil {
		return c.raced(ctx, err)
	}
	c.held.reset()
	return false, nil
}

// finish stores the kubbi with what is still held, and commits.
func (c *creation) finish(ctx context.Context) error {
	done, err := c.look(ctx, c.tx, &pgx.Batch{})
	if done {
		return nil
	}
	if err == nil {
		err = c.put(ctx, c.tx)
	}
	if err != nil {
		_, err = c.raced(ctx, err)
	}
	return err
}

// raced turns an error into the answer, if another create was faster with the
// same id, token or key, or if this one was committed after all.
func (c *creation) raced(ctx context.Context, err error) (done bool, _ error) {
	doubt := c.tx.unknown
	if !violates(err) && !doubt || ctx.Err() != nil {
		return false, c.failed(ctx, err)
	}
	c.tx.release(ctx)
	c.tx = nil
	c.quota = store.Quota{} // which others may have used up since
	lerr := c.s.run(ctx, func(q *session) (lerr error) {
		q.doubt = q.doubt || doubt
		done, lerr = c.look(ctx, q, begin())
		return lerr
	})
	if lerr != nil || done {
		return done, lerr
	}
	return false, fmt.Errorf("%w: payload was not stored: %w", store.ErrUnavailable, explain(err))
}

// failed is the answer to an error that will not be looked into.
func (c *creation) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return explain(err)
}
