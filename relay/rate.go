package relay

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"sync"
	"time"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

const (
	rateWindow = time.Minute // that of store.APIKey.Rate; it begins with a minute of the clock
	rateShare  = 50          // a node takes this part of a key's rate at once
	meterCount = 1024        // above this many meters, those of minutes that have ended go
)

// meter counts a producer request against its key's rate, or refuses it, and
// says in h how much is left: the RateLimit fields of the IETF draft
// draft-ietf-httpapi-ratelimit-headers.
func (rl *Relay) meter(ctx context.Context, h http.Header, k *store.APIKey) error {
	if k.Rate <= 0 {
		return nil
	}
	left, now, err := rl.meters.of(k.Hash, rl.now()).use(ctx, rl, k)
	if err != nil {
		return err
	}
	wait := now.Truncate(rateWindow).Add(rateWindow).Sub(now)
	h.Set(api.HeaderRateLimitPolicy, fmt.Sprintf(`"key";q=%d;w=%d`, k.Rate, seconds(rateWindow)))
	h.Set(api.HeaderRateLimit, fmt.Sprintf(`"key";r=%d;t=%d`, max(left, 0), seconds(wait)))
	if left < 0 {
		e := fail(api.CodeRateLimited, fmt.Sprintf(
			"the rate of this API key is %d a minute, and used up; try again in %d s", k.Rate, seconds(wait)))
		e.retryAfter = wait
		return e
	}
	return nil
}

// meters are those of the keys in use.
type meters struct {
	mu sync.Mutex
	m  map[store.Hash]*meter
}

func (ms *meters) of(h store.Hash, now time.Time) *meter {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if m, ok := ms.m[h]; ok {
		return m
	}
	if len(ms.m) >= meterCount {
		for h, m := range ms.m {
			if m.idle(now) {
				delete(ms.m, h)
			}
		}
	}
	if ms.m == nil {
		ms.m = map[store.Hash]*meter{}
	}
	m := &meter{taking: make(chan struct{}, 1)}
	ms.m[h] = m
	return m
}

// meter is this node's share of a key's rate. It takes uses from the store some
// at a time, which count for all nodes from then on, and spends them. So the
// sum over all nodes never passes the rate, and few requests ask the store.
type meter struct {
	taking chan struct{} // holds a token while one request asks the store

	mu      sync.Mutex
	window  time.Time // that the rest is of
	left    int       // uses that were taken and not spent
	sum     int       // uses that all nodes had taken when the store was last asked
	waiting int       // requests that wait for uses
}

func (m *meter) idle(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.waiting == 0 && !m.window.Equal(now.Truncate(rateWindow))
}

// use spends a use of the minute that now is in, and gives what is left of the
// rate as far as this node knows, less than 0 if there was none.
func (m *meter) use(ctx context.Context, rl *Relay, k *store.APIKey) (left int, now time.Time, err error) {
	now = rl.now()
	if left, ok := m.spend(k.Rate, now); ok {
		return left, now, nil
	}
	m.wait(1)
	defer m.wait(-1)
	select {
	case m.taking <- struct{}{}:
	case <-ctx.Done():
		return 0, now, ctx.Err()
	}
	defer func() { <-m.taking }()
	now = rl.now()
	if left, ok := m.spend(k.Rate, now); ok { // another has taken for this one, too
		return left, now, nil
	}
	taken, sum, err := rl.cfg.Store.Take(ctx, rateBucket(k.Hash), rateWindow, m.batch(k.Rate), k.Rate, now)
	if err != nil {
		return 0, now, fmt.Errorf("count a request of key %s: %w", KeyID(k.Hash), err)
	}
	return m.add(k.Rate, taken, sum, now), now, nil
}

// spend spends a use, if there is one or nothing left to ask for; if there is
// neither, ok is false.
func (m *meter) spend(rate int, now time.Time) (left int, ok bool) {
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

// batch is how many uses to take: enough for those who wait, else a small part
// of the rate, and fewer towards its end, where what one node holds and does
// not spend is missed by the others.
func (m *meter) batch(rate int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	share := (rate + rateShare - 1) / rateShare
	return max(min(share, (rate-m.sum)/8), m.waiting, 1)
}

// add keeps what was taken but for the use of the request that took it. If a
// new minute has begun meanwhile, that is lost.
func (m *meter) add(rate, taken, sum int, now time.Time) (left int) {
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

func (m *meter) wait(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiting += n
}

// rateBucket names a key's rate to the store.
func rateBucket(key store.Hash) store.Hash {
	return sha256.Sum256(append([]byte("kubbi-mcp/relay/1/rate/"), key[:]...))
}

// seconds rounds up, so that who waits for as long does not come too early.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
