package relay_test

import (
	"net/http"
	"strings"
	"testing"

	"kubbi-mcp/kubbi/api"
)

// TestHomePage checks the front page of a local relay, and that only its script sends
// without an API key.
func TestHomePage(t *testing.T) {
	r := newRig(t)
	wantPage(t, r.call("GET", "/", "", "Accept", chrome), 200, "kubbi-mcp on this machine", `data-limits="{"bytes":52428800,"files":20}"`, "Seal and make a link")
	wantError(t, r.call("GET", "/", ""), api.CodeNotFound, "no such route")
	wantError(t, r.call("GET", "/other", "", "Accept", chrome), api.CodeNotFound, "no such route")
	body := `{"content":"x","content_type":"text/plain","ttl_seconds":60}`
	create := func(want int, headers ...string) answer {
		t.Helper()
		a := r.call("POST", api.PathKubbis, body, append([]string{"Authorization", ""}, headers...)...)
		if a.status != want {
			t.Errorf("%v: %d %.200s", headers, a.status, a.body)
		}
		return a
	}
	create(http.StatusUnauthorized)
	create(http.StatusUnauthorized, "Sec-Fetch-Site", "none")
	create(http.StatusBadRequest, "Sec-Fetch-Site", "same-site")
	for range 50 {
		create(http.StatusCreated, "Sec-Fetch-Site", "same-origin")
	}
	wantError(t, create(http.StatusTooManyRequests, "Sec-Fetch-Site", "same-origin"), api.CodeQuotaExceeded, "for what is sent with the front page is 50")
	var list api.ListResponse
	if decode(t, r.call("GET", api.PathKubbis, "").body, &list); len(list.Kubbis) != 0 {
		t.Errorf("an agent lists %d kubbis of the page", len(list.Kubbis))
	}
	for _, path := range []string{api.PathKubbis, api.PathRequests + "/" + noID} {
		if a := r.call("GET", path, "", "Authorization", "", "Sec-Fetch-Site", "same-origin"); a.status != http.StatusUnauthorized {
			t.Errorf("GET %s: %d", path, a.status)
		}
	}
	if a := r.call("POST", api.PathRequests, askBody, "Authorization", "", "Sec-Fetch-Site", "same-origin"); a.status != http.StatusUnauthorized || !strings.Contains(string(a.body), "API key") {
		t.Errorf("ask: %d %s", a.status, a.body)
	}
}
