package cluster

import (
	"context"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
)

// newKey makes an API key with that label.
func (c *cluster) newKey(label string, flags ...string) string {
	c.t.Helper()
	return strings.TrimSpace(string(c.run(append([]string{"keys", "create", "--label", label}, flags...)...)))
}

// status sends a request with an API key, and returns the status and the error code.
func (c *cluster) status(n *node, key, method, body string) (int, string) {
	ctx, cancel := context.WithTimeout(c.t.Context(), testkit.Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+n.addr+api.PathKubbis, strings.NewReader(body))
	if err != nil {
		c.t.Error(err)
		return 0, ""
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Error(err)
		return 0, ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Error(err)
	}
	for _, code := range []api.Code{api.CodeRateLimited, api.CodeQuotaExceeded, api.CodeUnauthorized} {
		if strings.Contains(string(b), `"error":"`+string(code)+`"`) {
			return resp.StatusCode, string(code)
		}
	}
	return resp.StatusCode, ""
}

// crowd has 64 clients send some requests each to random nodes. It counts the error
// codes, "" for a success.
func (c *cluster) crowd(rounds int, key, method, body string) map[string]int {
	var mu sync.Mutex
	var wg sync.WaitGroup
	codes := map[string]int{}
	for range 64 {
		wg.Go(func() {
			for range rounds {
				status, code := c.status(c.nodes[rand.N(len(c.nodes))], key, method, body)
				if code == "" && status/100 != 2 {
					c.t.Errorf("status %d", status)
				}
				mu.Lock()
				codes[code]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return codes
}

// within runs f until it begins and ends in the same window of the clock, and returns
// its result.
func within(window time.Duration, f func() map[string]int) map[string]int {
	for {
		begun := time.Now().Truncate(window)
		if got := f(); time.Now().Truncate(window).Equal(begun) {
			return got
		}
	}
}

// TestClusterKeys uses up and revokes keys at three relays that share a SQLite
// file.
func TestClusterKeys(t *testing.T) {
	testkit.OnlyCI(t, "loads three relays for seconds")
	startCluster(t, onFile(t)...).useUp()
}

// useUp has 64 clients use up quotas and rates of keys, and revokes a key that all
// nodes use.
func (c *cluster) useUp() {
	t := c.t
	const small = `{"content":"x","content_type":"text/plain","ttl_seconds":3600}`
	var keys []string
	newKey := func(flags ...string) string {
		k := c.newKey("crowd", flags...)
		keys = append(keys, k)
		return k
	}
	for name, tc := range map[string]struct {
		window time.Duration
		flags  []string
		method string
		want   map[string]int
	}{
		"daily":  {24 * time.Hour, []string{"--daily", "40"}, "POST", map[string]int{"": 40, "quota_exceeded": 2*64 - 40}},
		"active": {24 * time.Hour, []string{"--active", "15"}, "POST", map[string]int{"": 15, "quota_exceeded": 2*64 - 15}},
		"rate":   {time.Minute, []string{"--rate", "50"}, "GET", map[string]int{"": 50, "rate_limited": 2*64 - 50}},
	} {
		got := within(tc.window, func() map[string]int { return c.crowd(2, newKey(tc.flags...), tc.method, small) })
		if !maps.Equal(got, tc.want) {
			t.Errorf("%s: answers %v, want %v", name, got, tc.want)
		}
	}

	// A node takes several requests of this rate at once. All nodes together allow no
	// more than the rate, and less only as docs/operations.md says.
	const rate, slack = 300, 2 * (300/50 - 1)
	got := within(time.Minute, func() map[string]int { return c.crowd(8, newKey("--rate", "300"), "GET", "") })
	if n := got[""]; n > rate || n < rate-slack || got["rate_limited"] != 8*64-n {
		t.Errorf("answers %v, want %d to %d successes", got, rate-slack, rate)
	}
	t.Logf("a rate of %d: %d", rate, got[""])

	// A key is revoked while it is in use. Requests that are sent 2 seconds later are
	// refused.
	key := c.newKey("to be revoked")
	keys = append(keys, key)
	var mu sync.Mutex
	var wg sync.WaitGroup
	var last time.Time        // when the last request was sent that was let through
	var slowest time.Duration // answer: what a busy machine adds to the two seconds
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	for _, n := range c.nodes {
		for range 4 {
			wg.Go(func() {
				for ctx.Err() == nil {
					sent := time.Now()
					status, code := c.status(n, key, "GET", "")
					if code == string(api.CodeUnauthorized) {
						return
					}
					if status != http.StatusOK {
						t.Errorf("status %d %s", status, code)
					}
					mu.Lock()
					slowest = max(slowest, time.Since(sent))
					if sent.After(last) {
						last = sent
					}
					mu.Unlock()
				}
			})
		}
	}
	c.run("keys", "revoke", "to be revoked")
	revoked := time.Now()
	wg.Wait()
	if took := last.Sub(revoked); ctx.Err() != nil || took >= 2*time.Second+slowest {
		t.Errorf("the key worked for %v after it was revoked, and an answer took %v at most (%v)", took, slowest, ctx.Err())
	} else {
		t.Logf("the key worked for %v after it was revoked, and an answer took %v at most", took, slowest)
	}

	for _, n := range c.nodes {
		log := n.log.String()
		if slices.ContainsFunc(keys, func(k string) bool { return strings.Contains(log, k) }) {
			t.Error("a key is in a log")
		}
	}
}

// TestClusterGuesses guesses claim tokens at relays behind a proxy.
func TestClusterGuesses(t *testing.T) {
	c := startCluster(t, append(onFile(t), "KUBBI_RELAY_GUESS_LIMIT=3", "KUBBI_RELAY_TRUSTED_PROXIES=192.0.2.1,127.0.0.0/8")...)
	guess := func(n *node, from string) int {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+n.addr+api.PathClaim+strings.Repeat("A", 43), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Forwarded-For", from)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if retry := resp.Header.Get("Retry-After"); (resp.StatusCode == 429) != (retry != "") {
			t.Errorf("status %d, Retry-After %q", resp.StatusCode, retry)
		}
		return resp.StatusCode
	}
	for i, want := range []int{404, 404, 404, 429, 429} {
		if got := guess(c.nodes[0], "203.0.113.7"); got != want {
			t.Errorf("guess %d: status %d, want %d", i+1, got, want)
		}
	}
	if got := guess(c.nodes[0], "203.0.113.99, 203.0.113.7, 192.0.2.1"); got != 429 {
		t.Errorf("behind two proxies: status %d", got)
	}
	if got := guess(c.nodes[0], "203.0.113.7, 203.0.113.8"); got != 404 {
		t.Errorf("a neighbour: status %d", got)
	}
	if got := guess(c.nodes[1], "203.0.113.7"); got != 404 {
		t.Errorf("another node: status %d", got)
	}
}
