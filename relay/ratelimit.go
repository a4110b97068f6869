package relay

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"time"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

const (
	rateWindow = time.Minute // of store.APIKey.Rate; it starts with a minute of the clock
	batchPart  = 50          // a node takes at most this part of a key's rate at once
	maxMeters  = 1024        // above this number, meters of past minutes are removed
)

// countRequest counts a producer's request against its key's rate, or refuses it. It
// tells in h how much of the rate is left: the RateLimit fields of
// draft-ietf-httpapi-ratelimit-headers.
func (rl *Relay) countRequest(ctx context.Context, h http.Header, k *store.APIKey) error {
	if k.Rate <= 0 {
		return nil
	}
	left, now, err := rl.rates.meter(k.Hash, rl.now()).use(ctx, rl, k)
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

// rateMeters holds the meters of the keys in use.
type rateMeters struct {
	mu sync.Mutex
	m  map[store.Hash]*rateMeter
}

func (ms *rateMeters) meter(h store.Hash, now time.Time) *rateMeter {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if m, ok := ms.m[h]; ok {
		return m
	}
	if len(ms.m) >= maxMeters {
		maps.DeleteFunc(ms.m, func(_ store.Hash, m *rateMeter) bool { return m.idle(now) })
	}
	if ms.m == nil {
		ms.m = map[store.Hash]*rateMeter{}
	}
	m := &rateMeter{asking: make(chan struct{}, 1)}
	ms.m[h] = m
	return m
}

// rateMeter spends this node's part of a key's rate. It takes several uses at a time
// from the store, which then count for all nodes. So the sum over all nodes never
// passes the rate, and few requests have to ask the store.
type rateMeter struct {
	asking chan struct{} // holds a token while a request asks the store

	mu      sync.Mutex
	window  time.Time // the minute of the fields below
	left    int       // uses that were taken and not spent
	sum     int       // uses that all nodes had taken when the store was last asked
	waiting int       // requests that wait for uses
}

func (m *rateMeter) idle(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.waiting == 0 && !m.window.Equal(now.Truncate(rateWindow))
}

// use spends one use of the current minute. It returns what is left of the rate as far
// as this node knows, or less than 0 if nothing was left.
func (m *rateMeter) use(ctx context.Context, rl *Relay, k *store.APIKey) (left int, now time.Time, err error) {
	now = rl.now()
	if left, ok := m.spend(k.Rate, now); ok {
		return left, now, nil
	}
	m.wait(1)
	defer m.wait(-1)
	select {
	case m.asking <- struct{}{}:
	case <-ctx.Done():
		return 0, now, ctx.Err()
	}
	defer func() { <-m.asking }()
	now = rl.now()
	if left, ok := m.spend(k.Rate, now); ok { // another request has taken enough for both
		return left, now, nil
	}
	taken, sum, err := rl.cfg.Store.Take(ctx, rateBucket(k.Hash), rateWindow, m.batch(k.Rate), k.Rate, now)
	if err != nil {
		return 0, now, fmt.Errorf("count a request of key %s: %w", KeyID(k.Hash), err)
	}
	return m.add(k.Rate, taken, sum, now), now, nil
}

// spend spends one use without asking the store. ok is false if the store must be
// asked.
func (m *rateMeter) spend(rate int, now time.Time) (left int, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w := now.Truncate(rateWindow); !m.window.Equal(w) {
		m.window, m.left, m.sum = w, 0, 0
	}
	if m.left == 0 {
		return -1, m.sum >= rate
	}
	m.left--
	return m.left + max(rate-m.sum, 0), true
}

// batch is how many uses to take: enough for the requests that wait, or a small part
// of the rate. It gets smaller towards the end of the rate, because the other nodes
// can't use what one node has taken and not spent.
func (m *rateMeter) batch(rate int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	part := (rate + batchPart - 1) / batchPart
	return max(min(part, (rate-m.sum)/8), m.waiting, 1)
}

// add keeps what was taken, except the use of the request that took it. If a new
// minute has begun, the uses are lost.
func (m *rateMeter) add(rate, taken, sum int, now time.Time) (left int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.window.Equal(now.Truncate(rateWindow)) {
		m.left += max(taken-1, 0)
		m.sum = sum
	}
	if taken == 0 {
		return -1
	}
	return taken - 1 + max(rate-sum, 0)
}

func (m *rateMeter) wait(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiting += n
}

// rateBucket is the store's name for the rate of a key.
func rateBucket(key store.Hash) store.Hash {
	return sha256.Sum256(append([]byte("kubbi-mcp/relay/1/rate/"), key[:]...))
}

// seconds rounds up, so that a client that waits this long does not come too early.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
