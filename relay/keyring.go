package relay

import (
	"context"

	"kubbi-mcp/internal/atrest"
)

// Keyring gives a relay its master keys, which may change while it runs.
// Package internal/keyring has it.
type Keyring interface {
	// Current is the keyring as it was last read. It takes no time, and is asked
	// for once in each request.
	Current() *atrest.Keyring

	// Reload reads the keyring anew because a key was met that Current does not
	// have. It returns once Current is no older than the call, or with an error;
	// Current is then what it was.
	Reload(ctx context.Context) error
}

// ringWith gives the keyring, read anew if it lacks that key: another node may
// have had a new one first.
func (rl *Relay) ringWith(ctx context.Context, id string) *atrest.Keyring {
	if ring := rl.cfg.Keyring.Current(); ring.Has(id) {
		return ring
	}
	_ = rl.cfg.Keyring.Reload(ctx) // it logs its failures; what uses the key says that it is missing
	return rl.cfg.Keyring.Current()
}
