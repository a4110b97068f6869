package relay_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/store"
)

func (tm *team) lists(key string) func(node int) answer {
	return func(node int) answer { return tm.call(node, key, "GET", api.PathKubbis, "") }
}

func wantRate(t *testing.T, a answer, policy, left string) {
	t.Helper()
	if got := a.header.Get("RateLimit-Policy"); got != policy {
		t.Errorf("RateLimit-Policy is %q, want %q", got, policy)
	}
	if got := a.header.Get("RateLimit"); got != left {
		t.Errorf("RateLimit is %q, want %q", got, left)
	}
}

func TestRateHeaders(t *testing.T) {
	tm := newTeam(t, 1, overSQLite(t), nil)
	k := tm.key("kb_rated", store.APIKey{Rate: 3})
	const policy = `"key";q=3;w=60`
	tm.clock.Advance(17*time.Second + time.Millisecond)
	wantRate(t, tm.lists(k)(0), policy, `"key";r=2;t=43`)
	wantRate(t, tm.creates(k)(0), policy, `"key";r=1;t=43`)
	// A request counts, also if it fails.
	a := tm.call(0, k, "POST", api.PathKubbis, `{}`)
	wantError(t, a, api.CodeValidation, "")
	wantRate(t, a, policy, `"key";r=0;t=43`)
	tm.clock.Advance(42 * time.Second)
	for range 3 {
		a = tm.lists(k)(0)
		wantError(t, a, api.CodeRateLimited, "the rate of this API key is 3 a minute, and used up; try again in 1 s")
		wantRate(t, a, policy, `"key";r=0;t=1`)
		wantWait(t, a, "1")
	}
	tm.clock.Advance(time.Second)
	wantRate(t, tm.lists(k)(0), policy, `"key";r=2;t=60`)
	wantRate(t, tm.lists(tm.key("kb_free", store.APIKey{}))(0), "", "")
}

// TestRateOverNodes has 64 clients at three nodes use up a rate. Each minute exactly the
// rate is served.
func TestRateOverNodes(t *testing.T) {
	overEach(t, func(t *testing.T, open opener) {
		for _, rate := range []int{1, 7, 300} {
			t.Run(fmt.Sprint(rate), func(t *testing.T) {
				tm := newTeam(t, 3, open, nil)
				k := tm.key(fmt.Sprintf("kb_rated_%d", rate), store.APIKey{Rate: rate})
				for minute := range 3 {
					got := tm.crowd(8, tm.lists(k))
					n := got.statuses[200]
					for node := range tm.nodes { // and what a node may still have
						for a := tm.lists(k)(node); a.status == 200; a = tm.lists(k)(node) {
							n++
						}
					}
					if n != rate || got.statuses[200]+got.statuses[429] != 64*8 {
						t.Errorf("minute %d: %d requests were let through, want %d; statuses %v", minute, n, rate, got.statuses)
					}
					wantError(t, got.last[429], api.CodeRateLimited, "")
					tm.clock.Advance(time.Minute)
				}
			})
		}
	})
}

// TestRateWhileMinutesPass does the same while the clock runs on.
func TestRateWhileMinutesPass(t *testing.T) {
	tm := newTeam(t, 3, overSQLite(t), nil)
	const rate, minutes = 40, 4
	k := tm.key("kb_rated", store.APIKey{Rate: rate})
	var sent atomic.Int64
	got := tm.crowd(16, func(node int) answer {
		if n := sent.Add(1); n%256 == 0 && n < minutes*256 {
			tm.clock.Advance(time.Minute)
		}
		return tm.lists(k)(node)
	})
	if n := got.statuses[200]; n > minutes*rate || n < (minutes-1)*rate {
		t.Errorf("%d requests in %d minutes, want at most %d; statuses %v", n, minutes, minutes*rate, got.statuses)
	}
}

// TestRateSlack measures what docs/operations.md promises: a busy node may be refused early by
// what idle nodes hold, which is at most a fiftieth of the rate each.
func TestRateSlack(t *testing.T) {
	overEach(t, func(t *testing.T, open opener) {
		tm := newTeam(t, 3, open, nil)
		const rate = 1000
		k := tm.key("kb_rated", store.APIKey{Rate: rate})
		n := 0
		for node := range tm.nodes[1:] {
			if a := tm.lists(k)(node + 1); a.status != 200 {
				t.Fatalf("%d %s", a.status, a.body)
			}
			n++
		}
		for a := tm.lists(k)(0); a.status == 200; a = tm.lists(k)(0) {
			n++
		}
		if slack := 2 * (rate/50 - 1); n < rate-slack || n > rate {
			t.Errorf("%d requests were let through, want %d to %d", n, rate-slack, rate)
		}
		t.Logf("%d of %d", n, rate)
	})
}

// taking is a real store that counts calls of CountUses, or lets them fail.
type taking struct {
	store.Store
	calls atomic.Int64
	fail  atomic.Pointer[error]
}

func (s *taking) CountUses(ctx context.Context, bucket store.Hash, window time.Duration, n, limit int, now time.Time) (int, int, error) {
	s.calls.Add(1)
	if err := s.fail.Load(); err != nil {
		return 0, 0, *err
	}
	return s.Store.CountUses(ctx, bucket, window, n, limit, now)
}

// TestRateAsksSeldom counts how often the store is asked.
func TestRateAsksSeldom(t *testing.T) {
	var s *taking
	tm := newTeam(t, 1, overSQLite(t), func(c *relay.Config) {
		s = &taking{Store: c.Store}
		c.Store = s
	})
	const rate = 1000
	k := tm.key("kb_rated", store.APIKey{Rate: rate})
	for range 3 * rate {
		tm.lists(k)(0)
	}
	if calls := s.calls.Load(); calls > rate/10 {
		t.Errorf("of %d requests, %d asked the store", 3*rate, calls)
	} else {
		t.Logf("of %d requests, %d asked the store", 3*rate, calls)
	}
}

// TestRateTrouble checks that requests are refused while the store can't count, and that
// the log names only the key's id.
func TestRateTrouble(t *testing.T) {
	var s *taking
	logged := &lockedBuffer{}
	tm := newTeam(t, 1, overSQLite(t), func(c *relay.Config) {
		s = &taking{Store: c.Store}
		c.Store, c.Logger = s, slog.New(slog.NewTextHandler(logged, nil))
	})
	k := tm.key("kb_rated", store.APIKey{Rate: 10})
	trouble := fmt.Errorf("%w: %w", store.ErrUnavailable, errors.New("disk trouble"))
	s.fail.Store(&trouble)
	a := tm.lists(k)(0)
	wantError(t, a, api.CodeUnavailable, "")
	wantWait(t, a, "1")
	out := logged.String()
	if !strings.Contains(out, relay.KeyID(relay.HashSecret(k))) || !strings.Contains(out, "disk trouble") || strings.Contains(out, k) {
		t.Errorf("logged: %s", out)
	}
	s.fail.Store(nil)
	if a := tm.lists(k)(0); a.status != 200 {
		t.Errorf("after the trouble: %d %s", a.status, a.body)
	}
}
