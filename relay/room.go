package relay

import (
	"context"
	"fmt"
	"sync"
	"time"

	"kubbi-mcp/kubbi/api"
)

const (
	roomAge = 5 * time.Second // how long it is believed what the store said it holds
	fullAge = time.Second     // the same, where a create is to be refused for it
)

// room keeps what a store holds below Config.MaxStorage. It is not exact: each
// relay of a store knows what itself has taken since it last asked, and not
// what others have.
type room struct {
	mu    sync.Mutex
	held  int64     // bytes in the store when it was last asked
	since int64     // bytes that this relay has let in since then
	asked time.Time // zero: never
}

// roomFor lets size more bytes in, or answers that the relay is full. A size of
// 0 asks whether it is.
func (rl *Relay) roomFor(ctx context.Context, size int64) error {
	most := rl.cfg.MaxStorage
	if most <= 0 {
		return nil
	}
	rm := &rl.room
	rm.mu.Lock()
	defer rm.mu.Unlock()
	for _, believed := range []time.Duration{roomAge, fullAge} {
		now := rl.now()
		if age := now.Sub(rm.asked); rm.asked.IsZero() || age < 0 || age >= believed {
			ctx, cancel := context.WithTimeout(ctx, pingTimeout)
			stats, err := rl.cfg.Store.Stats(ctx)
			cancel()
			if err != nil {
				return fmt.Errorf("ask the store how much it holds: %w", err)
			}
			rm.held, rm.since, rm.asked = stats.Bytes, 0, now
		}
		if left := most - rm.held - rm.since; size <= left && left > 0 {
			rm.since += size
			return nil
		}
	}
	return fail(api.CodeQuotaExceeded, fmt.Sprintf(
		"the relay is full: it keeps payloads of %d bytes in all; there is room when kubbis have ended or are deleted", most))
}
