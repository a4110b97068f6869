// Package keyring keeps a relay's master keys up to date while it runs.
package keyring

import (
	"context"
	"sync/atomic"

	"kubbi-mcp/relay/atrest"
)

// Live is a keyring that may change while a relay uses it.
type Live struct {
	ring atomic.Pointer[atrest.Keyring]
}

// Fixed gives a keyring that never changes.
func Fixed(ring *atrest.Keyring) *Live {
	l := &Live{}
	l.ring.Store(ring)
	return l
}

// Current is the keyring as it was last read.
func (l *Live) Current() *atrest.Keyring { return l.ring.Load() }

// Reload does nothing: there is nothing to read anew.
func (l *Live) Reload(ctx context.Context) error { return ctx.Err() }
