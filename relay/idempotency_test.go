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
	first := r.call("POST", api.PathKubbis, body, key, keyOne)
	r.Clock.Advance(59 * time.Second)
	again := r.call("POST", api.PathKubbis, body, key, keyOne)
	if again.status != http.StatusCreated || string(again.body) != string(first.body) {
		t.Errorf("repeated create: %d %s, want %s", again.status, again.body, first.body)
	}
	wantError(t, r.call("POST", api.PathKubbis, strings.Replace(body, "x", "y", 1), key, keyOne), api.CodeConflict, "Idempotency-Key")
	other := r.create(body, key, keyTwo)
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
	if late := r.create(body, key, keyOne); late.ID == c.ID {
		t.Error("the key works after its grace")
	}
	// A refused create is not remembered.
	wantError(t, r.call("POST", api.PathKubbis, `{}`, key, keyThree), api.CodeValidation, "")
	r.create(body, key, keyThree)
}

func TestIdempotentClaim(t *testing.T) {
	r := newRig(t)
	c := r.text("x", `,"max_retrievals":1`)
	first := r.claim(c.ClaimToken, key, keyOne)
	if first.status != 200 || first.header.Get(api.HeaderClaimGrace) != "60" || first.header.Get(api.HeaderRemainingReads) != "0" {
		t.Fatalf("claim: %d %s %v", first.status, first.body, first.header)
	}
	wantError(t, r.claim(c.ClaimToken, key, keyTwo), api.CodeGone, "burned")
	wantError(t, r.claim(c.ClaimToken), api.CodeGone, "burned")
	for range 3 {
		again := r.claim(c.ClaimToken, key, keyOne)
		if again.status != 200 || string(again.body) != string(first.body) || again.header.Get(api.HeaderRemainingReads) != "0" {
			t.Fatalf("repeated claim: %d %s", again.status, again.body)
		}
	}
	for range 2 { // releasing twice is no error
		if a := r.call("DELETE", "/r/"+c.ClaimToken+"/claim", "", key, keyOne); a.status != http.StatusNoContent || len(a.body) != 0 {
			t.Errorf("release: %d %s", a.status, a.body)
		}
	}
	wantError(t, r.claim(c.ClaimToken, key, keyOne), api.CodeGone, "burned")

	// The grace ends by itself, too.
	c = r.text("x", `,"max_retrievals":1`)
	r.claim(c.ClaimToken, key, keyOne)
	r.Clock.Advance(60 * time.Second)
	wantError(t, r.claim(c.ClaimToken, key, keyOne), api.CodeGone, "burned")

	// A repeated claim counts once, and its answer says what was left the first time.
	c = r.text("x", `,"max_retrievals":3`)
	r.claim(c.ClaimToken, key, keyOne)
	r.claim(c.ClaimToken, key, keyTwo)
	if a := r.claim(c.ClaimToken, key, keyOne); a.header.Get(api.HeaderRemainingReads) != "2" {
		t.Errorf("remaining reads %q", a.header.Get(api.HeaderRemainingReads))
	}
	var k api.Kubbi
	decode(t, r.call("GET", api.PathKubbi+c.ID, "").body, &k)
	if k.RetrievalCount != 2 {
		t.Errorf("%d retrievals, want 2", k.RetrievalCount)
	}
	// The producer's delete ends every grace.
	r.call("DELETE", api.PathKubbi+c.ID, "")
	wantError(t, r.claim(c.ClaimToken, key, keyOne), api.CodeGone, "deleted")
}

func TestNoGrace(t *testing.T) {
	r := newRig(t, relaytest.WithGrace(-1))
	c := r.text("x", `,"max_retrievals":1`)
	a := r.claim(c.ClaimToken, key, keyOne)
	if a.status != 200 || a.header.Values(api.HeaderClaimGrace) != nil {
		t.Errorf("claim: %d %v", a.status, a.header)
	}
	wantError(t, r.claim(c.ClaimToken, key, keyOne), api.CodeGone, "burned")
	const body = `{"content":"x","content_type":"text/plain","ttl_seconds":60}`
	first, second := r.create(body, key, keyOne), r.create(body, key, keyOne)
	if first.ID == second.ID {
		t.Error("a create was recognised")
	}
	if a := r.call("DELETE", "/r/"+c.ClaimToken+"/claim", "", key, keyOne); a.status != http.StatusNoContent {
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
			wantError(t, a, api.CodeValidation, "Idempotency-Key must be one value of at most 255 visible ASCII characters")
		}
	}
	wantError(t, r.call("DELETE", "/r/"+c.ClaimToken+"/claim", ""), api.CodeValidation, "Idempotency-Key")
	wantError(t, r.call("DELETE", "/r/x/claim", "", key, keyOne), api.CodeNotFound, "")
	if a := r.call("DELETE", "/r/"+noToken+"/claim", "", key, keyOne); a.status != http.StatusNoContent {
		t.Errorf("release of an unknown token: %d %s", a.status, a.body)
	}
	var k api.Kubbi
	decode(t, r.call("GET", api.PathKubbi+c.ID, "").body, &k)
	if k.RetrievalCount != 0 {
		t.Errorf("a refused claim was counted: %d", k.RetrievalCount)
	}
}

// TestGuessableKeys sends guessable and other keys with every request that takes one.
func TestGuessableKeys(t *testing.T) {
	r := newRig(t)
	body := `{"content":"x","content_type":"text/plain","ttl_seconds":60}`
	for _, weak := range []string{
		"1", "k", "order-12345", strings.Repeat("1", 38), strings.Repeat("a", 100), strings.Repeat("ab", 50), "0123456789abcdef0123456789abcde",
		"0123456789ABCDEF01234", "01234567-89ab-cdef-0123-456789abcde", "12345678901234567890123456789012345678", "A1b2C3d4E5f6G7h8I9j0K", `"A1b2C3d4E5f6G7h8I9j0K"`,
		"00000000-0000-0000-0000-000000000001", strings.Repeat("-", 30) + "abcdef",
	} {
		c := r.text("x", `,"max_retrievals":1`)
		for what, a := range map[string]answer{
			"create":  r.call("POST", api.PathKubbis, body, key, weak),
			"claim":   r.claim(c.ClaimToken, key, weak),
			"release": r.call("DELETE", "/r/"+c.ClaimToken+"/claim", "", key, weak),
			"form":    r.submit(c.ClaimToken, weak),
		} {
			if a.status != 400 || what != "form" && !strings.Contains(string(a.body), "must be worth 16 random bytes") {
				t.Errorf("%s with %q: %d %s", what, weak, a.status, a.body)
			}
			if strings.Contains(string(a.body), `"`+weak+`"`) {
				t.Errorf("%s: the answer tells the key: %s", what, a.body)
			}
		}
		if a := r.claim(c.ClaimToken, key, keyOne); a.status != 200 {
			t.Errorf("after refusals: %d %s", a.status, a.body)
		}
	}
	for _, good := range []string{
		"8e03978e-40d5-43dd-bc93-6894a57f9324", `"8e03978e-40d5-43dd-bc93-6894a57f9324"`, "8E03978E40D543DDBC936894A57F9324", "01ARZ3NDEKTSV4RRFFQ69G5FAV",
		"A1b2C3d4E5f6G7h8I9j0Kl", "314159265358979323846264338327950288419", "abc_defghijklmnopqrstu+/==", strings.Repeat("abcdefgh/", 28),
	} {
		c := r.text("x", `,"max_retrievals":1`)
		for what, a := range map[string]answer{"create": r.call("POST", api.PathKubbis, body, key, good), "claim": r.claim(c.ClaimToken, key, good)} {
			if a.status/100 != 2 {
				t.Errorf("%s with %q: %d %s", what, good, a.status, a.body)
			}
		}
		if a := r.call("DELETE", "/r/"+c.ClaimToken+"/claim", "", key, good); a.status != http.StatusNoContent {
			t.Errorf("release with %q: %d %s", good, a.status, a.body)
		}
	}
}

// TestRacingClaims has 64 callers claim a kubbi with three retrievals over HTTP.
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
