//go:build unix

package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/postgres"
)

// readsOf is how often kubbi n of a load may be claimed. Half of them may be claimed
// once, like most kubbis.
func readsOf(n int) int { return 1 + n/2%2*2 }

// load is a set of callers of a store, and their results.
type load struct {
	nodes   []*postgres.Store
	payload []byte
	stop    context.CancelFunc
	wg      sync.WaitGroup

	mu       sync.Mutex
	made     []*handed
	failures int
	full     int     // creates with ErrFull
	strange  []error // other than store.ErrUnavailable
}

// handed is a kubbi and the results of its claims.
type handed struct {
	k       *store.Kubbi
	numbers map[int]int // of the claims that succeeded
	lost    int         // claims without a key with an unknown result
}

// startLoad starts callers that create and claim, with and without keys, until finish.
func startLoad(t *testing.T, size int, nodes ...*postgres.Store) *load {
	ctx, stop := context.WithCancel(t.Context())
	l := &load{nodes: nodes, payload: bytes.Repeat([]byte{7}, size), stop: stop}
	for i := range 8 {
		l.wg.Go(func() {
			for n := i; ctx.Err() == nil; n++ {
				l.handoff(t.Context(), n)
			}
		})
	}
	t.Cleanup(func() { stop(); l.wg.Wait() })
	return l
}

func (l *load) node(n int) *postgres.Store { return l.nodes[n%len(l.nodes)] }

// ok counts a failure, and reports whether there was none.
func (l *load) ok(err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		return true
	}
	l.failures++
	switch {
	case errors.Is(err, store.ErrFull):
		l.full++
	case !errors.Is(err, store.ErrUnavailable):
		l.strange = append(l.strange, err)
	}
	return false
}

func (l *load) failed() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failures
}

func (l *load) done() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.made)
}

// handoff makes a kubbi, and claims it until one claim is left.
func (l *load) handoff(ctx context.Context, n int) {
	h := &handed{k: newKubbi("team", readsOf(n)), numbers: map[int]int{}}
	var key *store.CreateKey
	if n%2 == 0 {
		key = &store.CreateKey{Key: randomHash(), Request: randomHash(), Grace: time.Hour}
	}
	replay, err := l.node(n).Create(ctx, h.k, payloadOf(l.payload), key, store.Quota{}, t0)
	if err == nil && replay != nil {
		err = errors.New("a create that nobody has made before was a replay")
	}
	if !l.ok(err) {
		return
	}
	for i := range max(1, h.k.MaxRetrievals-1) {
		var key *store.ClaimKey
		if i == 0 && n%5 > 0 {
			key = &store.ClaimKey{Key: randomHash(), Grace: time.Hour}
		}
		c, err := l.node(n+i).Claim(ctx, h.k.Token, key, nil, t0)
		if !l.ok(err) {
			h.lost++
			continue
		}
		h.numbers[c.Number]++
		if key != nil && n%3 == 0 {
			// finish sees the result, since no claim can be repeated.
			released := l.node(n).Release(ctx, h.k.Token, key.Key, t0)
			if l.ok(released) && c.Burned {
				if _, err := l.node(n).Claim(ctx, h.k.Token, key, nil, t0); !errors.Is(err, store.ErrBurned) {
					l.ok(fmt.Errorf("a claim that was released: %w", err))
				}
			}
		}
		got, err := io.ReadAll(c.Payload)
		if err == nil && !bytes.Equal(got, l.payload) {
			err = errors.New("payload is another one")
		}
		l.ok(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made = append(l.made, h)
}

// finish stops the callers, and checks the store against the results that they got.
func (l *load) finish(t *testing.T) {
	t.Helper()
	before := l.done()
	wait(t, "work to go on", func() bool { return l.done() > before+20 })
	l.stop()
	l.wg.Wait()
	for _, err := range l.strange[:min(5, len(l.strange))] {
		t.Errorf("a call failed with %v", err)
	}
	unread := 0
	for i, h := range l.made {
		k, err := l.node(i).Get(t.Context(), "team", h.k.ID, t0)
		if err != nil {
			t.Errorf("a kubbi that was acknowledged: %v", err)
			continue
		}
		won := 0
		for number, times := range h.numbers {
			if times > 1 || number > h.k.MaxRetrievals {
				t.Errorf("%d claims have number %d", times, number)
			}
			won++
		}
		if k.Retrievals < won || k.Retrievals > won+h.lost {
			t.Errorf("%d retrievals, %d claims acknowledged, %d unknown", k.Retrievals, won, h.lost)
		}
		for ; k.Status == store.Active && k.Retrievals < k.MaxRetrievals; k.Retrievals++ {
			c, err := l.node(i).Claim(t.Context(), h.k.Token, nil, nil, t0)
			if err != nil {
				t.Errorf("claim: %v", err)
				break
			}
			if got, err := io.ReadAll(c.Payload); err != nil || !bytes.Equal(got, l.payload) {
				t.Errorf("payload has %d bytes, error %v", len(got), err)
			}
			unread++
		}
		if _, err := l.node(i).Claim(t.Context(), h.k.Token, nil, nil, t0); !errors.Is(err, store.ErrBurned) {
			t.Errorf("a claim too many: %v", err)
		}
	}
	t.Logf("%d kubbis, %d calls failed, %d claims left for the end", len(l.made), l.failures, unread)
}

// wait polls until a condition holds.
func wait(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
