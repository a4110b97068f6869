package relay

import (
	"context"
	"fmt"
	"sync"
	"time"

	"kubbi-mcp/kubbi/api"
)

const (
	statsAge     = 5 * time.Second // how long the store's figure is used
	statsAgeFull = time.Second     // the same, if a create would be refused because of it
)

// storageLimit knows about how much of Config.MaxStorage is in use. It is not exact:
// a relay knows what it has accepted since it last asked the store, and not what
// other relays of the same store have accepted.
type storageLimit struct {
	mu       sync.Mutex
	stored   int64     // bytes in the store when it was last asked
	accepted int64     // bytes that this relay has accepted since then
	asked    time.Time // zero: never
}

// reserveStorage accepts size more bytes, or says that the relay is full. With size 0
// it only checks that the relay is not full.
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
