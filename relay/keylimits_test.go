package relay_test

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

// tally counts the answers to a crowd of clients.
type tally struct {
	mu       sync.Mutex
	statuses map[int]int
	last     map[int]answer // one of each status
}

// crowd has 64 clients send rounds requests each to random nodes.
func (tm *team) crowd(rounds int, send func(node int) answer) *tally {
	out := &tally{statuses: map[int]int{}, last: map[int]answer{}}
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range rounds {
				a := send(rand.N(len(tm.nodes)))
				out.mu.Lock()
				out.statuses[a.status]++
				out.last[a.status] = a
				out.mu.Unlock()
			}
		})
	}
	wg.Wait()
	return out
}

func (tm *team) creates(key string) func(node int) answer {
	return func(node int) answer { return tm.call(node, key, "POST", api.PathKubbis, small) }
}

// TestDailyQuota has 64 clients use up the quota of two keys of one owner over three
// nodes.
func TestDailyQuota(t *testing.T) {
	overEach(t, func(t *testing.T, open opener) {
		tm := newTeam(t, 3, open, nil)
		const daily = 50
		quota := store.Quota{Daily: daily}
		keys := []string{tm.key("kb_a", store.APIKey{Owner: "o", Quota: quota}), tm.key("kb_b", store.APIKey{Owner: "o", Quota: quota})}
		got := tm.crowd(3, func(node int) answer { return tm.creates(keys[rand.N(2)])(node) })
		if got.statuses[201] != daily || got.statuses[429] != 64*3-daily {
			t.Errorf("statuses %v, want %d times 201 and else 429", got.statuses, daily)
		}
		wantError(t, got.last[429], api.CodeQuotaExceeded, "the daily quota of this API key is 50, and used up; there is room again at 2026-03-29T00:00:00Z")
		wantWait(t, got.last[429], "43200")
		// Reads and other owners do not count.
		if a := tm.call(0, keys[0], "GET", api.PathKubbis, ""); a.status != 200 {
			t.Errorf("list: %d %s", a.status, a.body)
		}
		tm.create(1, tm.key("kb_other", store.APIKey{Quota: quota}), small)
		// Kubbis that have ended count too. The next day starts at zero.
		tm.clock.Advance(12*time.Hour - time.Millisecond)
		wantError(t, tm.creates(keys[1])(1), api.CodeQuotaExceeded, "")
		tm.clock.Advance(time.Millisecond)
		if got := tm.crowd(1, tm.creates(keys[0])); got.statuses[201] != daily {
			t.Errorf("the next day: statuses %v", got.statuses)
		}
	})
}

func TestActiveQuota(t *testing.T) {
	overEach(t, func(t *testing.T, open opener) {
		tm := newTeam(t, 3, open, nil)
		const active = 20
		k := tm.key("kb_a", store.APIKey{Quota: store.Quota{Active: active}})
		once := tm.create(0, k, strings.Replace(small, "}", `,"max_retrievals":1}`, 1))
		again := []string{key, keyOne}
		first := tm.call(0, k, "POST", api.PathKubbis, small, again...)
		got := tm.crowd(2, tm.creates(k))
		if got.statuses[201] != active-2 || got.statuses[429] != 64*2-active+2 {
			t.Errorf("statuses %v, want %d times 201 and else 429", got.statuses, active-2)
		}
		refused := got.last[429]
		wantError(t, refused, api.CodeQuotaExceeded, "the quota of active kubbis of this API key is 20, and used up")
		if refused.header.Get("Retry-After") != "" {
			t.Errorf("Retry-After is %q, which nobody knows", refused.header.Get("Retry-After"))
		}
		// A repeated create is answered although the quota is used up.
		if a := tm.call(1, k, "POST", api.PathKubbis, small, again...); a.status != http.StatusCreated || string(a.body) != string(first.body) {
			t.Errorf("a repeated create: %d %s", a.status, a.body)
		}
		// There is room for exactly one again, whatever made it.
		var c api.CreateResponse
		decode(t, first.body, &c)
		for what, end := range map[string]func() answer{
			"burned":  func() answer { return tm.call(2, "", "POST", "/r/"+once.ClaimToken+"/claim", "") },
			"deleted": func() answer { return tm.call(2, k, "DELETE", api.PathKubbi+c.ID, "") },
		} {
			if a := end(); a.status != 200 {
				t.Fatalf("%s: %d %s", what, a.status, a.body)
			}
			if got := tm.crowd(1, tm.creates(k)); got.statuses[201] != 1 {
				t.Errorf("after one was %s: statuses %v", what, got.statuses)
			}
		}
		tm.clock.Advance(time.Hour) // all have expired; nobody has swept
		if got := tm.crowd(1, tm.creates(k)); got.statuses[201] != active {
			t.Errorf("after all have expired: statuses %v", got.statuses)
		}
	})
}
