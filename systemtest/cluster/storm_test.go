package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
)

const (
	stormClients = 64
	stormSlots   = 12 // kubbis that are raced for at the same time
	stormUses    = 60 // requests after which another kubbi takes a slot

	// Claims of an unlimited kubbi have no numbers, so that the checker tries every
	// order of concurrent claims. Few clients use such a kubbi.
	unlimitedSlot, unlimitedUsers = stormSlots - 1, 4
)

// storm is a race of many clients for the same kubbis, during a disturbance of the
// nodes or their store.
type storm struct {
	outcomes
	t         *testing.T
	nodes     []string // origins
	apiKey    string
	seed      uint64
	begun     time.Time
	transport *http.Transport
	unlimited chan struct{} // holds a token for each client that is after an unlimited kubbi

	keys    atomic.Int64 // idempotency keys of claims, and numbers of creates, so far
	creates atomic.Int64

	mu       sync.Mutex
	slots    [stormSlots]*stormKubbi
	kubbis   []*stormKubbi
	unsure   map[int]bool // numbers of creates that nobody knows about
	creating [stormSlots]bool
}

func newStorm(t *testing.T, nodes []string, apiKey string) *storm {
	s := &storm{
		t: t, nodes: nodes, apiKey: apiKey, seed: rand.Uint64(), begun: time.Now(), unsure: map[int]bool{},
		transport: &http.Transport{MaxIdleConnsPerHost: stormClients}, unlimited: make(chan struct{}, unlimitedUsers),
	}
	t.Cleanup(s.transport.CloseIdleConnections)
	return s
}

func (s *storm) now() time.Duration { return time.Since(s.begun) }

// keyText is the text of an idempotency key.
func (s *storm) keyText(key int) string {
	return fmt.Sprintf("storm-of-many-clients-%x-%d", s.seed, key)
}

// run lets the clients race while disturb runs, then inspects every kubbi and checks
// the history.
func (s *storm) run(disturb func(ctx context.Context)) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*testkit.Patience)
	var over atomic.Bool
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel() // should disturb end the test
	for i := range stormClients {
		c := s.client(i)
		wg.Go(func() {
			for !over.Load() && ctx.Err() == nil && !s.t.Failed() {
				c.turn(ctx)
			}
		})
	}
	disturb(ctx)
	over.Store(true)
	wg.Wait()
	claims, took := s.claims.Load(), s.now()
	if ctx.Err() != nil {
		s.t.Fatalf("clients had no answer until the end; %v", &s.outcomes)
	}
	s.audit(ctx)
	s.check()
	s.t.Logf("%d clients, %d kubbis, %d of them unknown; %v; %.0f claims/s", stormClients, len(s.kubbis)+len(s.unsure), len(s.unsure),
		&s.outcomes, float64(claims)/took.Seconds())
}

// turn makes one request about a kubbi that other clients use, too.
func (c *stormClient) turn(ctx context.Context) {
	slot := 0 // every fourth client is after the same
	if c.rand.IntN(4) > 0 {
		slot = c.rand.IntN(stormSlots)
	}
	if slot == unlimitedSlot {
		select {
		case c.unlimited <- struct{}{}:
			defer func() { <-c.unlimited }()
		default:
			slot = 1
		}
	}
	k := c.use(ctx, slot)
	if k == nil {
		return
	}
	switch n := c.rand.IntN(100); {
	case n < 55:
		c.claimAndRelease(ctx, k)
	case n < 70:
		c.ask(ctx, k, claiming, 0, true)
	case n < 86:
		c.ask(ctx, k, inspecting, 0, false)
	case n < 97:
		c.ask(ctx, k, getting, 0, false)
	case n < 99:
		c.ask(ctx, k, deleting, 0, false)
	default:
		// A release with another client's key.
		c.ask(ctx, k, releasing, c.newKey(), true)
	}
}

// claimAndRelease claims as our client does: it repeats the claim with one key until it
// is answered. Some claims are then repeated once more, and most are released at the
// end.
func (c *stormClient) claimAndRelease(ctx context.Context, k *stormKubbi) {
	key := c.newKey()
	for {
		a, answered := c.ask(ctx, k, claiming, key, false)
		if !answered || a.status != api.StatusActive {
			return
		}
		if c.rand.IntN(5) > 0 {
			break
		}
	}
	if c.rand.IntN(4) > 0 {
		c.ask(ctx, k, releasing, key, true)
	}
}

func (s *storm) newKey() int { return int(s.keys.Add(1)) }

// use gives the kubbi of a slot, and replaces one that was used enough. It is nil if
// there is none yet.
func (c *stormClient) use(ctx context.Context, slot int) *stormKubbi {
	c.mu.Lock()
	k := c.slots[slot]
	if k != nil && k.used.Add(1) <= stormUses || c.creating[slot] {
		c.mu.Unlock()
		if k == nil {
			c.pause(ctx, false)
		}
		return k
	}
	c.creating[slot] = true
	c.mu.Unlock()

	number := int(c.creates.Add(1))
	limit := []int{1, 1, 2, 3, 5, 5, 1000}[c.rand.IntN(7)]
	if slot == unlimitedSlot {
		limit = 0
	}
	made, ok := c.create(ctx, number, limit, c.rand.IntN(5) > 0)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.creating[slot] = false
	if !ok {
		c.unsure[number] = true
		return k
	}
	c.slots[slot] = made
	c.kubbis = append(c.kubbis, made)
	return made
}

// audit checks every kubbi after the race: in its owner's list, and its remaining
// retrievals.
func (s *storm) audit(ctx context.Context) {
	s.t.Helper()
	c := s.client(stormClients)
	listed := map[string]api.Kubbi{}
	for page, anchor := 1, ""; ; page++ {
		path := fmt.Sprintf("%s?limit=100&page=%d&anchor=%s", api.PathKubbis, page, anchor)
		r, answered, _ := c.try(ctx, http.MethodGet, path, "", nil)
		for !answered && c.pause(ctx, true) {
			r, answered, _ = c.try(ctx, http.MethodGet, path, "", nil)
		}
		var l api.ListResponse
		if err := json.Unmarshal(r.body, &l); r.status != http.StatusOK || err != nil {
			s.t.Fatalf("list: status %d, %.300s", r.status, r.body)
		}
		for _, k := range l.Kubbis {
			if _, twice := listed[k.ID]; twice {
				s.t.Errorf("a kubbi is listed twice")
			}
			listed[k.ID] = k
		}
		if anchor = r.header.Get(api.HeaderListAnchor); page >= l.Pagination.TotalPages {
			break
		}
	}
	for _, k := range s.kubbis {
		if _, ok := listed[k.id]; !ok {
			s.t.Errorf("create %d was acknowledged, and is not there", k.number)
		}
		delete(listed, k.id)
		if a, answered := c.ask(ctx, k, getting, 0, false); answered && a.status == api.StatusActive {
			c.ask(ctx, k, claiming, c.newKey(), false)
		}
		c.ask(ctx, k, inspecting, 0, false)
	}
	// The other kubbis in the list had no answer to their create. Each is there at most
	// once and was never claimed.
	for _, k := range listed {
		var metadata struct{ N int }
		if err := json.Unmarshal(k.Metadata, &metadata); err != nil || !s.unsure[metadata.N] || k.RetrievalCount != 0 {
			s.t.Errorf("create %d was stored once more", metadata.N)
		}
		s.unsure[metadata.N] = false
	}
}

// check checks the history of every kubbi, and that the check would find one retrieval
// too many.
func (s *storm) check() {
	s.t.Helper()
	begun, longest := time.Now(), time.Duration(0)
	requests, most := 0, 0
	for _, k := range s.kubbis {
		requests += len(k.history)
		most = max(most, len(k.history))
		one := time.Now()
		linearizable(s.t, "create "+strconv.Itoa(k.number), k.history, testkit.Patience)
		longest = max(longest, time.Since(one))
	}
	s.t.Logf("%d requests checked in %v, those of one kubbi, %d at most, in %v at most", requests,
		time.Since(begun).Round(time.Millisecond), most, longest.Round(time.Millisecond))
	broken := slices.ContainsFunc(s.kubbis, func(k *stormKubbi) bool {
		i := slices.IndexFunc(k.history, func(op porcupine.Operation) bool { return op.Output.(answer).burned })
		if i < 0 {
			return false
		}
		again := k.history[i]
		again.Input = asked{verb: claiming, key: s.newKey(), max: k.max}
		if porcupine.CheckOperations(kubbiModel, thin(append(slices.Clone(k.history), again))) {
			s.t.Errorf("the check does not see that create %d was delivered once too often", k.number)
		}
		return true
	})
	if !broken {
		s.t.Error("no kubbi was burned")
	}
}
