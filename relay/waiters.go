package relay

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"kubbi-mcp/internal/httpguard"
	"kubbi-mcp/relay/store"
)

// The pauses between two looks for the changes of other relays. A pause is at least lookShare
// times as long as the look before it took, so the looks cost at most 2% of a processor.
const (
	minLookPause = 100 * time.Millisecond
	maxLookPause = time.Second // also after a look that has failed
	lookShare    = 50
	lookTimeout  = 10 * time.Second
)

// defaultMaxWaits is the default of Config.MaxWaits.
const defaultMaxWaits = 4096

// waiters are the requests that wait until a kubbi changes. A change that this relay makes
// wakes them at once. For all other changes one goroutine looks at the states of all kubbis
// that requests wait for, with one call of the store. It runs only while a request waits.
type waiters struct {
	store       store.Store
	now         func() time.Time
	log         *slog.Logger
	max         int
	maxOfClient int

	mu      sync.Mutex
	kubbis  map[store.Number]*waitedKubbi
	clients map[waitClient]int
	n       int
	added   bool          // a kubbi was added to kubbis since the last look began
	stops   int           // calls of stop that are not resumed
	stopped chan struct{} // closed by stop
	empty   chan struct{} // closed when the last waiter leaves, which ends the goroutine
}

// waitedKubbi is a kubbi that requests wait for.
type waitedKubbi struct {
	waiters map[*waiter]struct{}
	known   bool
	state   store.State // in the last look, if known
}

// waitClient is who waits: the owner of an API key, or a network. The zero waitClient stands
// for clients that have no limit of their own.
type waitClient struct {
	owner string
	from  netip.Prefix
}

// waiter is one request.
type waiter struct {
	number  store.Number
	client  waitClient
	wake    chan struct{}   // holds one item if the kubbi may have changed
	stopped <-chan struct{} // closed when the request must be answered at once
}

func newWaiters(cfg *Config, now func() time.Time) *waiters {
	return &waiters{
		store: cfg.Store, now: now, log: cfg.Logger, max: cfg.MaxWaits, maxOfClient: httpguard.Share(cfg.MaxWaits),
		kubbis: map[store.Number]*waitedKubbi{}, clients: map[waitClient]int{}, stopped: make(chan struct{}),
	}
}

// join adds a request. From then on it misses no change, so the kubbi must be read after that.
// join returns nil if too many requests wait, or if no request may wait any more. Otherwise
// leave must follow.
func (ws *waiters) join(number store.Number, client waitClient) *waiter {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.stops > 0 || ws.n >= ws.max || client != (waitClient{}) && ws.clients[client] >= ws.maxOfClient {
		return nil
	}
	w := &waiter{number: number, client: client, wake: make(chan struct{}, 1), stopped: ws.stopped}
	k := ws.kubbis[number]
	if k == nil {
		k = &waitedKubbi{waiters: map[*waiter]struct{}{}}
		ws.kubbis[number], ws.added = k, true
	}
	k.waiters[w] = struct{}{}
	ws.clients[client]++
	if ws.n++; ws.n == 1 {
		ws.empty = make(chan struct{})
		go ws.watch(ws.empty)
	}
	return w
}

// leave removes a request.
func (ws *waiters) leave(w *waiter) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	k := ws.kubbis[w.number]
	if delete(k.waiters, w); len(k.waiters) == 0 {
		delete(ws.kubbis, w.number)
	}
	if ws.clients[w.client]--; ws.clients[w.client] == 0 {
		delete(ws.clients, w.client)
	}
	if ws.n--; ws.n == 0 {
		close(ws.empty)
	}
}

func (ws *waiters) count() int {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return ws.n
}

// changed wakes the requests that wait for a kubbi.
func (ws *waiters) changed(number store.Number) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if k := ws.kubbis[number]; k != nil {
		k.wake()
	}
}

func (k *waitedKubbi) wake() {
	for w := range k.waiters {
		select {
		case w.wake <- struct{}{}:
		default: // it has not read the kubbi since it was woken
		}
	}
}

// stop ends all waits, and allows none until resume is called.
func (ws *waiters) stop() (resume func()) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.stops++; ws.stops == 1 {
		close(ws.stopped)
	}
	return sync.OnceFunc(func() {
		ws.mu.Lock()
		defer ws.mu.Unlock()
		if ws.stops--; ws.stops == 0 {
			ws.stopped = make(chan struct{})
		}
	})
}

// watch looks for changes until empty is closed. It does not cancel a look that has begun,
// since that could cost a connection of the store.
func (ws *waiters) watch(empty <-chan struct{}) {
	var mark store.Mark
	failed := false
	timer := time.NewTimer(minLookPause)
	defer timer.Stop()
	for {
		select {
		case <-empty:
			return
		case <-timer.C:
		}
		start := time.Now()
		var err error
		mark, err = ws.look(mark)
		pause := min(max(minLookPause, lookShare*time.Since(start)), maxLookPause)
		if err != nil {
			pause = maxLookPause
			if !failed {
				ws.log.LogAttrs(context.Background(), slog.LevelWarn, "changes of other relays are not seen: requests that wait are answered late", slog.Any("err", err))
			}
		}
		failed = err != nil
		timer.Reset(pause)
	}
}

// look wakes the requests whose kubbis have changed since the look that gave the mark. It gives
// the mark for the next look; 0: that must look at all.
func (ws *waiters) look(since store.Mark) (store.Mark, error) {
	ws.mu.Lock()
	numbers := slices.Collect(maps.Keys(ws.kubbis))
	ws.added = false
	ws.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	states, mark, err := ws.store.States(ctx, numbers, since, ws.now())
	if err != nil {
		return 0, err
	}
	if since != 0 && mark == since {
		return mark, nil
	}
	found := make(map[store.Number]store.State, len(states))
	for _, s := range states {
		found[s.Number] = s
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, n := range numbers {
		k := ws.kubbis[n]
		if k == nil {
			continue
		}
		// Without a known state the kubbi may have changed before this look, but after its
		// requests have read it.
		if s, ok := found[n]; !ok || !k.known || s != k.state {
			k.state, k.known = s, ok
			k.wake()
		}
	}
	if ws.added { // the mark may stand for a change of a kubbi that was added meanwhile
		return 0, nil
	}
	return mark, nil
}

// noticingStore wakes the requests that wait for a kubbi that it changes.
type noticingStore struct {
	store.Store
	waiters *waiters
}

// Claim implements store.Store. If it fails, the claim may still be counted later, which only
// a look of the waiters finds out.
func (s noticingStore) Claim(ctx context.Context, token store.Token, key *store.ClaimKey, opens []string, now time.Time) (*store.Claimed, error) {
	c, err := s.Store.Claim(ctx, token, key, opens, now)
	if err == nil && !c.Replay {
		s.waiters.changed(token.Number)
	}
	return c, err
}

// Delete implements store.Store.
func (s noticingStore) Delete(ctx context.Context, owner, id string, now time.Time) (*store.Kubbi, error) {
	k, err := s.Store.Delete(ctx, owner, id, now)
	if err == nil {
		s.waiters.changed(k.Token.Number)
	}
	return k, err
}
