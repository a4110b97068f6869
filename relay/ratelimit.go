package relay

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

const (
	rateWindow = time.Minute // of store.APIKey.Rate; it starts with a minute of the clock
	batchPart  = 50          // a node takes at most a fiftieth of a key's rate at once
)

// countRequest counts a producer's request against its key's rate, or refuses it. It sets
// the headers of draft-ietf-httpapi-ratelimit-headers, which say how much of the rate is
// left.
func (rl *Relay) countRequest(ctx context.Context, h http.Header, c cachedKey) error {
	k := c.key
	if k.Rate <= 0 {
		return nil
	}
	left, now, err := c.rate.use(ctx, rl, k)
	if err != nil {
		return err
	}
	wait := now.Truncate(rateWindow).Add(rateWindow).Sub(now)
	h.Set(api.HeaderRateLimitPolicy, fmt.Sprintf(`"key";q=%d;w=%d`, k.Rate, seconds(rateWindow)))
	h.Set(api.HeaderRateLimit, fmt.Sprintf(`"key";r=%d;t=%d`, max(left, 0), seconds(wait)))
	if left < 0 {
		return failFor(wait, api.CodeRateLimited, fmt.Sprintf(
			"the rate of this API key is %d a minute, and used up; try again in %d s", k.Rate, seconds(wait)))
	}
	return nil
}

// rateMeter counts this node's requests against a key's rate. It counts several uses in the
// store at once, ahead of the requests. So the sum over all nodes never exceeds the rate,
// and most requests need no call of the store.
type rateMeter struct {
	waiting atomic.Int64 // requests that have or want the lock

	lock   chan struct{} // holds a token while a request uses the fields below
	window time.Time     // the minute of left and sum
	left   int           // uses that are counted in the store and not spent yet
	sum    int           // uses of all nodes at the last call of the store
}

func newRateMeter() *rateMeter { return &rateMeter{lock: make(chan struct{}, 1)} }

// use spends one use of the current minute. It returns how many uses are left, as far as
// this node knows, or -1 if none was left.
func (m *rateMeter) use(ctx context.Context, rl *Relay, k *store.APIKey) (left int, now time.Time, err error) {
	m.waiting.Add(1)
	defer m.waiting.Add(-1)
	select {
	case m.lock <- struct{}{}:
	case <-ctx.Done():
		return 0, now, ctx.Err()
	}
	defer func() { <-m.lock }()
	now = rl.now()
	if w := now.Truncate(rateWindow); !m.window.Equal(w) {
		m.window, m.left, m.sum = w, 0, 0
	}
	if m.left == 0 && m.sum < k.Rate {
		taken, sum, err := rl.cfg.Store.CountUses(ctx, rateBucket(k.Hash), rateWindow, m.batch(k.Rate), k.Rate, now)
		if err != nil {
			return 0, now, fmt.Errorf("count a request of key %s: %w", KeyID(k.Hash), err)
		}
		m.left, m.sum = taken, sum
	}
	if m.left == 0 {
		return -1, now, nil
	}
	m.left--
	return m.left + max(k.Rate-m.sum, 0), now, nil
}

// batch is how many uses to count in the store at once: enough for the waiting requests, or
// a small part of the rate. It becomes smaller when little of the rate is left, because
// other nodes can't spend what this node has counted.
func (m *rateMeter) batch(rate int) int {
	part := (rate + batchPart - 1) / batchPart
	return max(min(part, (rate-m.sum)/8), int(m.waiting.Load()), 1)
}

// rateBucket is the bucket of a key's rate in the store.
func rateBucket(key store.Hash) store.Hash {
	return sha256.Sum256(append([]byte("kubbi-mcp/relay/1/rate/"), key[:]...))
}

// seconds rounds up, so that a client that waits this long does not come too early.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
