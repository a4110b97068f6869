package relay

import (
	"context"

	"kubbi-mcp/internal/atrest"
)

// Keyring gives a relay its master keys, which may change while it runs.
// Package internal/keyring implements it.
type Keyring interface {
	// Current returns the keyring as it was last read. It is fast, and each request
	// calls it once.
	Current() *atrest.Keyring

	// Reload reads the keyring again, because Current lacks a key. When it returns
	// nil, Current is at least as new as the call. When it returns an error, Current
	// has not changed.
	Reload(ctx context.Context) error
}

// keyringWith returns the keyring. If it lacks the key with that id, it is read again
// first: another node may have got a new key earlier.
func (rl *Relay) keyringWith(ctx context.Context, id string) *atrest.Keyring {
	if ring := rl.cfg.Keyring.Current(); ring.Has(id) {
		return ring
	}
	_ = rl.cfg.Keyring.Reload(ctx) // it logs its failures; the use of a missing key is an error
	return rl.cfg.Keyring.Current()
}
