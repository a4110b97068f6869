package store

import (
	"context"
	"sync"
)

// Calls counts the running calls of a Store, so that Close can wait for them. Its zero value
// is ready.
type Calls struct {
	mu     sync.RWMutex // held for reading by every call
	closed bool
}

// Enter starts a call, which Leave ends. It fails with the context's error, or with
// ErrClosed. A call must not enter twice.
func (c *Calls) Enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.mu.RLock()
	if c.closed {
		c.mu.RUnlock()
		return ErrClosed
	}
	return nil
}

// Leave ends a call.
func (c *Calls) Leave() { c.mu.RUnlock() }

// Close waits for running calls, refuses new ones, and runs do once.
func (c *Calls) Close(do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		do()
	}
}
