package relay_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/store"
)

// unknownToken makes a well-formed token that no kubbi has.
func unknownToken(i int) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%032d", i))
}

func wantWait(t *testing.T, a answer, seconds string) {
	t.Helper()
	if got := a.header.Get("Retry-After"); got != seconds {
		t.Errorf("Retry-After is %q, want %q", got, seconds)
	}
}

func TestGuessLimit(t *testing.T) {
	const limit = 6
	tm := newTeam(t, 1, overSQLite(t), func(c *relay.Config) { c.GuessLimit = limit })
	used, fresh := tm.key("kb_used", store.APIKey{}), tm.key("kb_fresh", store.APIKey{})
	live := tm.create(0, used, small)
	once := strings.Replace(small, "}", `,"max_retrievals":1}`, 1)
	burned, mine := tm.create(0, used, once), tm.create(0, used, once)
	tm.call(0, "", "POST", "/r/"+burned.ClaimToken+"/claim", "")
	if a := tm.call(0, "", "POST", "/r/"+mine.ClaimToken+"/claim", "", key, keyOne); a.status != 200 {
		t.Fatalf("claim: %d %s", a.status, a.body)
	}

	// These are no guesses, however often they come.
	for range 3 * limit {
		wantError(t, tm.call(0, "", "POST", "/r/"+burned.ClaimToken+"/claim", ""), api.CodeGone, "burned")
		wantError(t, tm.call(0, "", "POST", "/r/"+burned.ClaimToken+"/claim", "", key, keyTwo), api.CodeGone, "burned")
		wantError(t, tm.call(0, "", "GET", "/r/"+burned.ClaimToken+"/inspect", ""), api.CodeGone, "burned")
		wantError(t, tm.call(0, "", "POST", "/r/"+mine.ClaimToken+"/claim", ""), api.CodeGone, "burned")
		wantError(t, tm.call(0, "", "GET", "/r/too-short", ""), api.CodeNotFound, "")
		wantError(t, tm.call(0, "", "GET", api.PathKubbis, ""), api.CodeUnauthorized, "needed")
		wantError(t, tm.call(0, used, "GET", api.PathKubbi+noID, ""), api.CodeNotFound, "")
		if a := tm.call(0, "", "DELETE", "/r/"+burned.ClaimToken+"/claim", "", key, keyTwo); a.status != http.StatusNoContent {
			t.Errorf("release of what has ended: %d", a.status)
		}
	}
	// Guesses of every kind count together.
	wantError(t, tm.call(0, "", "GET", "/r/"+unknownToken(1), ""), api.CodeNotFound, "")
	wantError(t, tm.call(0, "", "POST", "/r/"+unknownToken(3)+"/claim", ""), api.CodeNotFound, "")
	if a := tm.call(0, "", "DELETE", "/r/"+unknownToken(4)+"/claim", "", key, keyTwo); a.status != http.StatusNoContent {
		t.Errorf("release of an unknown token: %d", a.status)
	}
	for range 2 { // the first may be a consumer that came too late
		wantError(t, tm.call(0, "", "POST", "/r/"+mine.ClaimToken+"/claim", "", key, keyTwo), api.CodeGone, "burned")
	}
	if a := tm.call(0, "", "DELETE", "/r/"+mine.ClaimToken+"/claim", "", key, keyTwo); a.status != http.StatusNoContent {
		t.Errorf("release with another key: %d", a.status)
	}
	tm.clock.Advance(20 * time.Second)
	wantError(t, tm.call(0, "kb_wrong2", "POST", api.PathKubbis, small), api.CodeUnauthorized, "")
	for range 2 {
		for _, a := range []answer{
			tm.call(0, "", "GET", "/r/"+unknownToken(2), ""),
			tm.call(0, "", "GET", "/r/"+unknownToken(4)+"/inspect", ""),
			tm.call(0, "", "POST", "/r/"+unknownToken(5)+"/claim", ""),
			tm.call(0, "", "DELETE", "/r/"+unknownToken(6)+"/claim", "", key, keyTwo),
			tm.call(0, "", "POST", "/r/"+mine.ClaimToken+"/claim", "", key, keyTwo),
			tm.call(0, "", "DELETE", "/r/"+mine.ClaimToken+"/claim", "", key, keyTwo),
			tm.call(0, "kb_wrong3", "GET", api.PathKubbis, ""),
		} {
			wantError(t, a, api.CodeRateLimited, "came from this address, and this one is wrong too; try again in 40 s")
			wantWait(t, a, "40")
		}
		// A right secret always works, whatever others at the same address try.
		for what, a := range map[string]answer{
			"preview":         tm.call(0, "", "GET", "/r/"+live.ClaimToken, ""),
			"inspect":         tm.call(0, "", "GET", "/r/"+live.ClaimToken+"/inspect", ""),
			"claim":           tm.call(0, "", "POST", "/r/"+live.ClaimToken+"/claim", "", key, keyTwo),
			"claim, repeated": tm.call(0, "", "POST", "/r/"+mine.ClaimToken+"/claim", "", key, keyOne),
			"list":            tm.call(0, fresh, "GET", api.PathKubbis, ""),
			"list, known key": tm.call(0, used, "GET", api.PathKubbis, ""),
			"health":          tm.call(0, "", "GET", "/health", ""),
		} {
			if a.status != 200 {
				t.Errorf("%s: %d %s", what, a.status, a.body)
			}
		}
		if a := tm.call(0, "", "DELETE", "/r/"+live.ClaimToken+"/claim", "", key, keyTwo); a.status != http.StatusNoContent {
			t.Errorf("release: %d %s", a.status, a.body)
		}
		wantError(t, tm.call(0, "", "POST", "/r/"+burned.ClaimToken+"/claim", ""), api.CodeGone, "burned")
	}
	tm.clock.Advance(39 * time.Second)
	wantError(t, tm.call(0, "", "GET", "/r/"+unknownToken(7), ""), api.CodeRateLimited, "")
	tm.clock.Advance(time.Second)
	wantError(t, tm.call(0, "", "GET", "/r/"+unknownToken(7), ""), api.CodeNotFound, "")
}

// TestRacersAreNoGuessers claims one kubbi from many consumers at one address, each with
// its own key, and from one that tries key after key.
func TestRacersAreNoGuessers(t *testing.T) {
	tm := newTeam(t, 1, overSQLite(t), func(c *relay.Config) { c.GuessLimit = 3 })
	k := tm.create(0, tm.key("kb_a", store.APIKey{}), strings.Replace(small, "}", `,"max_retrievals":1}`, 1))
	claim := func(i int) int {
		return tm.call(0, "", "POST", "/r/"+k.ClaimToken+"/claim", "", key, fmt.Sprintf("of-one-consumer-%08d", i)).status
	}
	statuses := map[int]int{}
	for i := range 100 {
		statuses[claim(i)]++
	}
	if statuses[200] != 1 || statuses[410] != 99 {
		t.Errorf("racers: %v", statuses)
	}
	clear(statuses)
	for i := range 100 {
		statuses[claim(1000+i)]++
	}
	if statuses[410] != 29+3 || statuses[429] != 68 { // 128 may come too late, and 3 more are guesses
		t.Errorf("a guesser: %v", statuses)
	}
	if got := claim(0); got != 200 {
		t.Errorf("the right key: %d", got)
	}
}

// TestGuessesTakeNoWrites counts the store's claims and releases for an address that has
// guessed too often.
func TestGuessesTakeNoWrites(t *testing.T) {
	writes := &writesCounted{}
	tm := newTeam(t, 1, overSQLite(t), func(c *relay.Config) {
		c.GuessLimit = 3
		writes.Store = c.Store
		c.Store = writes
	})
	for i := range 20 {
		tm.call(0, "", "POST", "/r/"+unknownToken(i)+"/claim", "", key, keyOne)
		tm.call(0, "", "DELETE", "/r/"+unknownToken(i)+"/claim", "", key, keyOne)
	}
	if writes.n != 3 {
		t.Errorf("the store wrote %d times", writes.n)
	}
}

type writesCounted struct {
	store.Store
	n int
}

func (w *writesCounted) Claim(ctx context.Context, token store.Token, key *store.ClaimKey, opens []string, now time.Time) (*store.Claimed, error) {
	w.n++
	return w.Store.Claim(ctx, token, key, opens, now)
}

func (w *writesCounted) Release(ctx context.Context, token store.Token, key store.Hash, now time.Time) error {
	w.n++
	return w.Store.Release(ctx, token, key, now)
}

// Idempotency keys, as clients make them.
const (
	keyOne   = "one-0123456789abcdefghijk"
	keyTwo   = "two-0123456789abcdefghijk"
	keyThree = "three-0123456789abcdefghi"
)

func TestGuessesOfOneAddress(t *testing.T) {
	const limit = 3
	behind, err := relay.ParsePrefixes([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	tm := newTeam(t, 2, overSQLite(t), func(c *relay.Config) { c.GuessLimit, c.TrustedProxies = limit, behind })
	guess := func(node int, from ...string) int {
		var headers []string
		for _, f := range from {
			headers = append(headers, "X-Forwarded-For", f)
		}
		return tm.call(node, "", "GET", "/r/"+noToken, "", headers...).status
	}
	exhaust := func(from string) {
		t.Helper()
		for range limit {
			if got := guess(0, from); got != 404 {
				t.Fatalf("guess from %s: %d", from, got)
			}
		}
		if got := guess(0, from); got != 429 {
			t.Errorf("guess above the limit from %s: %d", from, got)
		}
	}
	exhaust("203.0.113.1")
	for name, from := range map[string][]string{
		"forged":              {"198.51.100.1, 203.0.113.1"},
		"forged lines":        {"198.51.100.2", "203.0.113.1"},
		"forged as a proxy's": {"198.51.100.3, 127.0.0.1, 203.0.113.1"},
		"in IPv6":             {"::ffff:203.0.113.1"},
	} {
		if got := guess(0, from...); got != 429 {
			t.Errorf("%s: %d", name, got)
		}
	}
	if got := guess(0, "203.0.113.2"); got != 404 {
		t.Errorf("a neighbour: %d", got)
	}
	if got := guess(1, "203.0.113.1"); got != 404 {
		t.Errorf("another node: %d", got)
	}
	exhaust("2001:db8:0:1::1")
	if got := guess(0, "2001:db8:0:1:ffff::2"); got != 429 {
		t.Errorf("the same /64: %d", got)
	}
	if got := guess(0, "2001:db8:0:2::1"); got != 404 {
		t.Errorf("another /64: %d", got)
	}
}

// TestForgedAddress has no proxy in front of the relay: no header is believed.
func TestForgedAddress(t *testing.T) {
	tm := newTeam(t, 1, overSQLite(t), func(c *relay.Config) { c.GuessLimit = 3 })
	statuses := map[int]int{}
	for i := range 10 {
		from := fmt.Sprintf("203.0.113.%d", i)
		statuses[tm.call(0, "", "GET", "/r/"+noToken, "", "X-Forwarded-For", from, "Forwarded", "for="+from, "X-Real-IP", from).status]++
	}
	if statuses[404] != 3 || statuses[429] != 7 {
		t.Errorf("statuses %v", statuses)
	}
}

// TestGuessesWithoutAddress checks that requests within the process have no limit.
func TestGuessesWithoutAddress(t *testing.T) {
	tm := newTeam(t, 1, overSQLite(t), func(c *relay.Config) {
		c.GuessLimit, c.TrustedProxies = 3, relay.Proxies{netip.MustParsePrefix("0.0.0.0/0")}
	})
	for range 10 {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/r/"+noToken, nil)
		r.RemoteAddr = "in-process"
		tm.nodes[0].Config.Handler.ServeHTTP(w, r)
		if w.Code != 404 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
}
