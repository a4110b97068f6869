package relay

import (
	"context"
	"fmt"
	"sync"
	"time"

	"kubbi-mcp/kubbi/api"
)

const (
	statsAge     = 5 * time.Second // how long the store's statistics are used
	statsAgeFull = time.Second     // the same, if they would make a create fail
)

// storageLimit estimates how much of Config.MaxStorage is in use: what the store had at the
// last call, and what this relay has accepted since then. It does not know what other relays
// of the same store have accepted since then.
type storageLimit struct {
	mu       sync.Mutex
	stored   int64     // bytes in the store when it was last asked
	accepted int64     // bytes that this relay has accepted since then
	asked    time.Time // zero: never
}

// reserveStorage reserves size more bytes, or returns an error if the relay is full. With
// size 0 it only checks that the relay is not full.
func (rl *Relay) reserveStorage(ctx context.Context, size int64) error {
	limit := rl.cfg.MaxStorage
	if limit <= 0 {
		return nil
	}
	s := &rl.stored
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, maxAge := range []time.Duration{statsAge, statsAgeFull} {
		now := rl.now()
		if age := now.Sub(s.asked); s.asked.IsZero() || age < 0 || age >= maxAge {
			ctx, cancel := context.WithTimeout(ctx, storeTimeout)
			stats, err := rl.cfg.Store.Stats(ctx)
			cancel()
			if err != nil {
				return fmt.Errorf("ask the store how much it holds: %w", err)
			}
			s.stored, s.accepted, s.asked = stats.Bytes, 0, now
		}
		if left := limit - s.stored - s.accepted; size <= left && left > 0 {
			s.accepted += size
			return nil
		}
	}
	return fail(api.CodeQuotaExceeded, fmt.Sprintf(
		"the relay is full: it keeps payloads of %d bytes in all; there is room when kubbis have ended or are deleted", limit))
}
