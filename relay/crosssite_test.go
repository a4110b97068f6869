package relay_test

import (
	"net/http"
	"strings"
	"testing"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/store"
)

// foreign are requests that a browser sends for a page of another site, with the headers
// of Chromium and Firefox: with Sec-Fetch-Site over https and to loopback addresses,
// without it over plain http.
var foreign = map[string][]string{
	"text/plain form":             {"Accept", chrome, "Content-Type", "text/plain", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"},
	"multipart form":              {"Accept", chrome, "Content-Type", "multipart/form-data; boundary=x", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"},
	"urlencoded form":             {"Accept", firefox, "Content-Type", "application/x-www-form-urlencoded", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"},
	"form of a private page":      {"Accept", firefox, "Content-Type", "application/x-www-form-urlencoded", "Origin", "null", "Sec-Fetch-Site", "cross-site"},
	"no-cors fetch":               {"Accept", "*/*", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "empty"},
	"beacon":                      {"Accept", "*/*", "Content-Type", "text/plain;charset=UTF-8", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"},
	"another port or subdomain":   {"Accept", "*/*", "Origin", "http://127.0.0.1:1", "Sec-Fetch-Site", "same-site"},
	"no Origin":                   {"Accept", "*/*", "Sec-Fetch-Site", "cross-site"},
	"plain http, text/plain form": {"Accept", firefox, "Content-Type", "text/plain", "Origin", "http://evil.example"},
	"plain http, multipart form":  {"Accept", firefox, "Content-Type", "multipart/form-data; boundary=x", "Origin", "null"},
	"plain http, urlencoded form": {"Accept", firefox, "Content-Type", "application/x-www-form-urlencoded", "Origin", "null"},
	"plain http, no-cors fetch":   {"Accept", "*/*", "Origin", "http://evil.example"},
	"plain http, no referrer":     {"Accept", "*/*", "Origin", "null"},
	"plain http, another port":    {"Accept", "*/*", "Origin", "http://127.0.0.1:1"},
	"Origin that is no URL":       {"Accept", "*/*", "Origin", ":"},
}

// TestOtherSitesBurnNothing checks that no request of another site's page changes
// anything, with any body and any of these headers.
func TestOtherSitesBurnNothing(t *testing.T) {
	r := newRig(t)
	c := r.text("x", `,"max_retrievals":1`)
	status := func() api.Kubbi {
		var k api.Kubbi
		decode(t, r.call("GET", api.PathKubbi+c.ID, "").body, &k)
		return k
	}
	for name, headers := range foreign {
		for _, req := range []struct{ method, path, body string }{
			{"POST", "/r/" + c.ClaimToken + "/claim", ""},
			{"POST", "/r/" + c.ClaimToken + "/claim", "key=k-0123456789abcdefghijklmn"},
			{"DELETE", "/r/" + c.ClaimToken + "/claim", ""},
			{"POST", api.PathKubbis, `{"content":"x","content_type":"text/plain","ttl_seconds":60}`},
			{"DELETE", api.PathKubbi + c.ID, ""},
		} {
			a := r.call(req.method, req.path, req.body, append([]string{api.HeaderIdempotencyKey, "k"}, headers...)...)
			if a.status != 400 || a.header.Get("Cache-Control") != "no-store" || strings.Contains(string(a.body), c.ClaimToken) && !strings.Contains(string(a.body), "nothing was opened") {
				t.Errorf("%s, %s %s: %d %.200s", name, req.method, req.path, a.status, a.body)
			}
		}
		// Reading is allowed: people follow links from other sites.
		if a := r.call("GET", "/r/"+c.ClaimToken, "", headers...); a.status != 200 {
			t.Errorf("%s: a link to the page: %d", name, a.status)
		}
		if k := status(); k.Status != api.StatusActive || k.RetrievalCount != 0 {
			t.Fatalf("%s: %d retrievals, %s", name, k.RetrievalCount, k.Status)
		}
	}
	// A program sends none of these headers.
	for _, headers := range [][]string{nil, {"Content-Type", "text/plain"}, {"Accept", firefox}, {"Referer", "https://evil.example/"}} {
		if a := r.claim(r.text("x", "").ClaimToken, headers...); a.status != 200 {
			t.Errorf("program with %q: %d %s", headers, a.status, a.body)
		}
	}
}

// TestOwnPageBehindProxy checks that requests of the claim page are accepted under the
// public URL, although the proxy sends another Host, or one without the port.
func TestOwnPageBehindProxy(t *testing.T) {
	const public = "https://Kubbi.Example:443"
	tm := newTeam(t, 1, overSQLite(t), func(c *relay.Config) { c.Origin = public })
	key := tm.key("kb_a", store.APIKey{})
	for _, tc := range []struct {
		origin, site string
		taken        bool
	}{
		{"https://kubbi.example", "same-origin", true},
		{"https://kubbi.example", "", true},
		{"", "same-origin", true}, {"", "none", true}, {"", "", true}, {"null", "same-origin", true},
		{"http://kubbi.example", "", false}, {"https://kubbi.example:8443", "", false}, {"https://kubbi.example.evil.example", "", false},
		{"https://evil.example", "", false}, {"null", "", false}, {"https://evil.example", "cross-site", false},
	} {
		c := tm.create(0, key, small)
		a := tm.call(0, "", "POST", "/r/"+c.ClaimToken+"/claim", "key=k-0123456789abcdefghijklmn",
			"Accept", firefox, "Content-Type", "application/x-www-form-urlencoded", "Origin", tc.origin, "Sec-Fetch-Site", tc.site)
		if taken := a.status == http.StatusOK; taken != tc.taken {
			t.Errorf("%+v: %d %.100s", tc, a.status, a.body)
		}
	}
}

// TestPageNamesItself checks that the page lets its browser send its origin, but not its
// path, which holds the token. Without an Origin, and from a browser that sends no
// Sec-Fetch-Site, the page's form would look like a form of another site.
func TestPageNamesItself(t *testing.T) {
	r := newRig(t)
	body := wantPage(t, r.call("GET", "/r/"+r.text("x", "").ClaimToken, "", "Accept", firefox), 200)
	if !strings.Contains(body, `<meta name="referrer" content="strict-origin">`) {
		t.Error("the page sends no origin")
	}
}
