package relay

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"kubbi-mcp/relay/store"
)

const (
	sweepLimit = 64          // pieces of work in one step, so that claims do not wait long
	firstSweep = time.Second // after the start, so that a short-lived process does not sweep

	// A kubbi is wiped within a second of its end. The pause lets one sweep wipe many
	// kubbis.
	sweepPause  = 150 * time.Millisecond
	sweepSpread = 100 * time.Millisecond
)

// Run sweeps the store when something is due, and at least every SweepEvery, and
// delivers webhook receipts. It returns nil when ctx ends. A sweep that fails is logged
// and tried again at the next time.
func (rl *Relay) Run(ctx context.Context) error {
	if rl.sender != nil {
		var sending sync.WaitGroup
		sending.Go(func() { _ = rl.sender.Run(ctx) }) // nil, when ctx has ended
		defer sending.Wait()
	}
	wait := min(firstSweep, rl.cfg.SweepEvery)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		start := time.Now()
		swept, err := rl.Sweep(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if rl.cfg.Observer != nil {
			rl.cfg.Observer.Sweep(swept, time.Since(start), err)
		}
		if err != nil {
			rl.cfg.Logger.LogAttrs(ctx, slog.LevelError, "sweep failed", slog.Any("err", err))
		}
		wait = rl.nextSweep(ctx)
	}
}

// nextSweep is how long to wait for the next sweep: until something is due, or about
// SweepEvery. It is less than the shortest TTL and the grace. So a kubbi that is created or
// claimed in the meantime is not due before the next sweep.
func (rl *Relay) nextSweep(ctx context.Context) time.Duration {
	// Several processes sweep one store: jitter keeps them from doing it at once.
	wait := rl.cfg.SweepEvery*3/4 + rand.N(rl.cfg.SweepEvery/2+1)
	wait = min(wait, time.Duration(rl.cfg.Limits.MinTTLSeconds)*time.Second*3/4)
	if rl.cfg.Grace > 0 {
		wait = min(wait, max(rl.cfg.Grace*3/4, sweepPause))
	}
	due, err := rl.cfg.Store.Due(ctx)
	switch {
	case err != nil:
		if ctx.Err() == nil {
			rl.cfg.Logger.LogAttrs(ctx, slog.LevelError, "next sweep is not known", slog.Any("err", err))
		}
	case !due.IsZero():
		wait = min(wait, max(due.Sub(rl.now()), sweepPause)+rand.N(sweepSpread))
	}
	return wait
}

// Sweep expires kubbis, wipes payloads and removes old tombstones, in small batches,
// until nothing is due. Run calls it.
func (rl *Relay) Sweep(ctx context.Context) (sum store.Swept, err error) {
	for more := true; more; {
		s, err := rl.cfg.Store.Sweep(ctx, rl.now(), rl.cfg.Retention, sweepLimit)
		sum.Expired += s.Expired
		sum.Wiped += s.Wiped
		sum.Removed += s.Removed
		if err != nil {
			return sum, fmt.Errorf("sweep store: %w", err)
		}
		more = s.More
	}
	if sum.Expired > 0 {
		rl.wakeSender()
	}
	if sum.Expired+sum.Wiped+sum.Removed > 0 {
		rl.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "swept", slog.Int("expired", sum.Expired),
			slog.Int("wiped", sum.Wiped), slog.Int("removed", sum.Removed))
	}
	return sum, nil
}
