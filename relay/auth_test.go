package relay_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/store"
)

// TestRevokedEverywhere revokes a key that all nodes have just used.
func TestRevokedEverywhere(t *testing.T) {
	overEach(t, func(t *testing.T, open opener) {
		tm := newTeam(t, 3, open, nil)
		k := tm.key("kb_revoked", store.APIKey{})
		c := tm.create(0, k, small)
		for node := range tm.nodes {
			if a := tm.call(node, k, "GET", api.PathKubbi+c.ID, ""); a.status != 200 {
				t.Fatalf("before: %d %s", a.status, a.body)
			}
		}
		if _, err := tm.db.RevokeAPIKey(t.Context(), relay.HashSecret(k), tm.clock.Now()); err != nil {
			t.Fatal(err)
		}
		tm.clock.Advance(time.Second) // it may take two
		for node := range tm.nodes {
			for range 2 {
				a := tm.call(node, k, "POST", api.PathKubbis, small)
				wantError(t, a, api.CodeUnauthorized, "wrong, expired or revoked")
				if got := a.header.Get("WWW-Authenticate"); got != "Bearer" {
					t.Errorf("WWW-Authenticate is %q", got)
				}
			}
		}
		if a := tm.call(1, "", "POST", "/r/"+c.ClaimToken+"/claim", ""); a.status != 200 {
			t.Errorf("its kubbi: %d %s", a.status, a.body)
		}
	})
}

// TestExpiredKey uses a key until its last millisecond.
func TestExpiredKey(t *testing.T) {
	tm := newTeam(t, 1, overSQLite(t), nil)
	const life = 10 * time.Second
	k := tm.key("kb_expiring", store.APIKey{ExpiresAt: start.Add(life)})
	tm.clock.Advance(life - time.Millisecond)
	c := tm.create(0, k, small)
	tm.clock.Advance(time.Millisecond)
	wantError(t, tm.call(0, k, "GET", api.PathKubbi+c.ID, ""), api.CodeUnauthorized, "")
	if a := tm.call(0, "", "POST", "/r/"+c.ClaimToken+"/claim", ""); a.status != 200 {
		t.Errorf("its kubbi: %d %s", a.status, a.body)
	}
}

// TestRefusalsAreAlike checks that the answers do not tell which keys once existed.
func TestRefusalsAreAlike(t *testing.T) {
	tm := newTeam(t, 1, overSQLite(t), nil)
	keys := []string{
		"kb_unknown",
		tm.key("kb_revoked", store.APIKey{RevokedAt: start}),
		tm.key("kb_expired", store.APIKey{ExpiresAt: start}),
		tm.key("kb_revoked_and_expired", store.APIKey{RevokedAt: start, ExpiresAt: start}),
	}
	first := tm.call(0, keys[0], "GET", api.PathKubbis, "")
	wantError(t, first, api.CodeUnauthorized, "wrong, expired or revoked")
	for _, k := range keys {
		for range 2 { // the second from the cache
			a := tm.call(0, k, "GET", api.PathKubbis, "")
			a.header.Set("Date", first.header.Get("Date"))
			if a.status != first.status || !bytes.Equal(a.body, first.body) || fmt.Sprint(a.header) != fmt.Sprint(first.header) {
				t.Errorf("%s: %d %v %s", k, a.status, a.header, a.body)
			}
		}
	}
}

// TestSameOwner replaces a key by another key of the same owner.
func TestSameOwner(t *testing.T) {
	tm := newTeam(t, 1, overSQLite(t), nil)
	old := tm.key("kb_old", store.APIKey{Owner: "team"})
	c := tm.create(0, old, small)
	successor := tm.key("kb_new", store.APIKey{Owner: "team"})
	stranger := tm.key("kb_stranger", store.APIKey{})
	wantError(t, tm.call(0, stranger, "DELETE", api.PathKubbi+c.ID, ""), api.CodeNotFound, "")
	if a := tm.call(0, successor, "DELETE", api.PathKubbi+c.ID, ""); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestLimitsOfKeys compares refusals because of a key's limits with refusals because of
// the relay's limits.
func TestLimitsOfKeys(t *testing.T) {
	own := api.DefaultLimits()
	own.ContentBytes, own.PackageBytes = 1000, 2000
	tm := newTeam(t, 1, overSQLite(t), func(c *relay.Config) { c.Limits = own })
	plain := tm.key("kb_plain", store.APIKey{})
	narrow := tm.key("kb_narrow", store.APIKey{MaxTTL: 10 * time.Minute, MaxBytes: 100})
	wide := tm.key("kb_wide", store.APIKey{MaxTTL: 48 * time.Hour, MaxBytes: 1 << 30})
	between := tm.key("kb_between", store.APIKey{MaxBytes: 1500})
	content := func(n, ttl int) string {
		return fmt.Sprintf(`{"content":%q,"content_type":"text/plain","ttl_seconds":%d}`, strings.Repeat("x", n), ttl)
	}
	files := func(n int) string {
		return fmt.Sprintf(`{"files":[{"name":"a","content":%q,"content_type":"a/b"},{"name":"b","content":"x","content_type":"a/b"}],"ttl_seconds":60}`,
			strings.Repeat("x", n-1))
	}
	for _, tc := range []struct {
		key, body string
		want      []string // nil: created
	}{
		{narrow, content(100, 600), nil},
		{narrow, content(101, 601), []string{"content must be at most 100 bytes with this API key, and is 101",
			"ttl_seconds must be between 60 and 600 with this API key"}},
		{narrow, files(100), nil},
		{narrow, files(101), []string{"files must be at most 100 bytes together with this API key, and are 101"}},
		{plain, content(1001, 86401), []string{"content must be at most 1000 bytes, and is 1001", "ttl_seconds must be between 60 and 86400"}},
		{wide, content(1001, 86401), []string{"content must be at most 1000 bytes, and is 1001", "ttl_seconds must be between 60 and 86400"}},
		{wide, content(1000, 86400), nil},
		{between, content(1001, 60), []string{"content must be at most 1000 bytes with this API key, and is 1001"}},
		{between, files(1500), nil},
		{between, files(1501), []string{"files must be at most 1500 bytes together with this API key, and are 1501"}},
	} {
		a := tm.call(0, tc.key, "POST", api.PathKubbis, tc.body)
		if tc.want == nil {
			if a.status != http.StatusCreated {
				t.Errorf("%s, %.60s: %d %s", tc.key, tc.body, a.status, a.body)
			}
			continue
		}
		wantFaults(t, a, tc.want)
	}
	// A body that is longer than any valid one is not read to its end.
	for key, words := range map[string]string{narrow: " bytes with this API key", plain: " bytes"} {
		a := tm.call(0, key, "POST", api.PathKubbis, content(1<<20, 60))
		wantError(t, a, api.CodeTooLarge, "the request body must be at most ")
		var e api.ErrorBody
		decode(t, a.body, &e)
		if !strings.HasSuffix(strings.TrimRight(e.Message, "0123456789"), words) {
			t.Errorf("%s: %s", key, e.Message)
		}
	}
}
