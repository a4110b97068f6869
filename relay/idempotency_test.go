package relay_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/relaytest"
)

const key = api.HeaderIdempotencyKey

func TestIdempotentCreate(t *testing.T) {
	r := newRig(t)
	const body = `{"content":"x","content_type":"text/plain","ttl_seconds":3600,"metadata":{"a":1}}`
	first := r.call("POST", api.PathKubbis, body, key, "one")
	r.Clock.Advance(59 * time.Second)
	again := r.call("POST", api.PathKubbis, body, key, "one")
	if again.status != http.StatusCreated || string(again.body) != string(first.body) {
		t.Errorf("repeated create: %d %s, want %s", again.status, again.body, first.body)
	}
	wantError(t, r.call("POST", api.PathKubbis, strings.Replace(body, "x", "y", 1), key, "one"), api.CodeConflict, "Idempotency-Key")
	other := r.create(body, key, "two")
	var c api.CreateResponse
	decode(t, first.body, &c)
	if other.ID == c.ID || other.ClaimToken == c.ClaimToken {
		t.Error("another key got the same kubbi")
	}
	var l api.ListResponse
	decode(t, r.call("GET", api.PathKubbis, "").body, &l)
	if l.Pagination.Total != 2 {
		t.Errorf("%d kubbis, want 2", l.Pagination.Total)
	}
	if a := r.claim(c.ClaimToken); a.status != 200 {
		t.Errorf("claim with the token of a repeated create: %s", a.body)
	}
	r.Clock.Advance(2 * time.Second)
	if late := r.create(body, key, "one"); late.ID == c.ID {
		t.Error("the key works after its grace")
	}
	// A refused create is not remembered.
	wantError(t, r.call("POST", api.PathKubbis, `{}`, key, "three"), api.CodeValidation, "")
	r.create(body, key, "three")
}

func TestIdempotentClaim(t *testing.T) {
	r := newRig(t)
	c := r.text("x", `,"max_retrievals":1`)
	first := r.claim(c.ClaimToken, key, "one")
	if first.status != 200 || first.header.Get(api.HeaderClaimGrace) != "60" || first.header.Get(api.HeaderRemainingReads) != "0" {
		t.Fatalf("claim: %d %s %v", first.status, first.body, first.header)
	}
	wantError(t, r.claim(c.ClaimToken, key, "two"), api.CodeGone, "burned")
	wantError(t, r.claim(c.ClaimToken), api.CodeGone, "burned")
	for range 3 {
		again := r.claim(c.ClaimToken, key, "one")
		if again.status != 200 || string(again.body) != string(first.body) || again.header.Get(api.HeaderRemainingReads) != "0" {
			t.Fatalf("repeated claim: %d %s", again.status, again.body)
		}
	}
	for range 2 { // releasing twice is no error
		if a := r.call("DELETE", "/r/"+c.ClaimToken+"/claim", "", key, "one"); a.status != http.StatusNoContent || len(a.body) != 0 {
			t.Errorf("release: %d %s", a.status, a.body)
		}
	}
	wantError(t, r.claim(c.ClaimToken, key, "one"), api.CodeGone, "burned")

	// The grace ends by itself, too.
	c = r.text("x", `,"max_retrievals":1`)
	r.claim(c.ClaimToken, key, "one")
	r.Clock.Advance(60 * time.Second)
	wantError(t, r.claim(c.ClaimToken, key, "one"), api.CodeGone, "burned")

	// A repeated claim of several counts once, and says what was left then.
	c = r.text("x", `,"max_retrievals":3`)
	r.claim(c.ClaimToken, key, "one")
	r.claim(c.ClaimToken, key, "two")
	if a := r.claim(c.ClaimToken, key, "one"); a.header.Get(api.HeaderRemainingReads) != "2" {
		t.Errorf("remaining reads %q", a.header.Get(api.HeaderRemainingReads))
	}
	var k api.Kubbi
	decode(t, r.call("GET", api.PathKubbi+c.ID, "").body, &k)
	if k.RetrievalCount != 2 {
		t.Errorf("%d retrievals, want 2", k.RetrievalCount)
	}
	// The producer's delete ends every grace.
	r.call("DELETE", api.PathKubbi+c.ID, "")
	wantError(t, r.claim(c.ClaimToken, key, "one"), api.CodeGone, "deleted")
}

func TestNoGrace(t *testing.T) {
	r := newRig(t, relaytest.WithGrace(-1))
	c := r.text("x", `,"max_retrievals":1`)
	a := r.claim(c.ClaimToken, key, "one")
	if a.status != 200 || a.header.Values(api.HeaderClaimGrace) != nil {
		t.Errorf("claim: %d %v", a.status, a.header)
	}
	wantError(t, r.claim(c.ClaimToken, key, "one"), api.CodeGone, "burned")
	const body = `{"content":"x","content_type":"text/plain","ttl_seconds":60}`
	first, second := r.create(body, key, "one"), r.create(body, key, "one")
	if first.ID == second.ID {
		t.Error("a create was recognised")
	}
	if a := r.call("DELETE", "/r/"+c.ClaimToken+"/claim", "", key, "one"); a.status != http.StatusNoContent {
		t.Errorf("release: %d", a.status)
	}
}

func TestIdempotencyKeyFaults(t *testing.T) {
	r := newRig(t)
	c := r.text("x", "")
	for _, bad := range []string{strings.Repeat("k", 256), "a b", "é"} {
		for _, a := range []answer{
			r.call("POST", api.PathKubbis, `{}`, key, bad), r.claim(c.ClaimToken, key, bad),
			r.call("DELETE", "/r/"+c.ClaimToken+"/claim", "", key, bad),
		} {
			wantError(t, a, api.CodeValidation, "Idempotency-Key must be one value of 1 to 255 visible ASCII characters")
		}
	}
	wantError(t, r.call("DELETE", "/r/"+c.ClaimToken+"/claim", ""), api.CodeValidation, "Idempotency-Key")
	wantError(t, r.call("DELETE", "/r/x/claim", "", key, "k"), api.CodeNotFound, "")
	if a := r.call("DELETE", "/r/"+noToken+"/claim", "", key, "k"); a.status != http.StatusNoContent {
		t.Errorf("release of an unknown token: %d %s", a.status, a.body)
	}
	var k api.Kubbi
	decode(t, r.call("GET", api.PathKubbi+c.ID, "").body, &k)
	if k.RetrievalCount != 0 {
		t.Errorf("a refused claim was counted: %d", k.RetrievalCount)
	}
}

// TestRacingClaims lets 64 callers claim, over HTTP, what may be claimed thrice.
func TestRacingClaims(t *testing.T) {
	r := newRig(t)
	c := r.text("x", `,"max_retrievals":3`)
	var wg sync.WaitGroup
	statuses := make(chan int, 64)
	for range 64 {
		wg.Go(func() {
			resp, err := http.Post(r.URL+"/r/"+c.ClaimToken+"/claim", "", nil)
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
			statuses <- resp.StatusCode
		})
	}
	wg.Wait()
	close(statuses)
	count := map[int]int{}
	for s := range statuses {
		count[s]++
	}
	if count[200] != 3 || count[410] != 61 {
		t.Errorf("statuses: %v", count)
	}
}
