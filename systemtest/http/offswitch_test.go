package http

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
)

// teamRelay starts `kubbi-mcp relay` with its default limits. It returns its origin and
// a function that makes API keys.
func teamRelay(t *testing.T) (url string, newKey func(label string) string) {
	t.Helper()
	path := testkit.Program(t)
	url = testkit.FreeURL(t)
	dir := filepath.Join(t.TempDir(), "team")
	cmd := exec.CommandContext(t.Context(), path, "relay", "--data-dir", dir, "--listen", strings.TrimPrefix(url, "http://"), "--lame-duck", "0s")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	testkit.WaitHealthy(t.Context(), t, url+"/health")
	return url, func(label string) string {
		key, errs, err := testkit.Run(t, nil, "--data-dir", dir, "keys", "create", "--label", label)
		if err != nil {
			t.Fatalf("%v: %s", err, errs)
		}
		return strings.TrimSpace(key)
	}
}

// ask makes a request to a relay and returns the status.
func ask(t *testing.T, method, url string, header http.Header) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// TestNoRemoteOffSwitch has strangers guess keys at an MCP server and tokens at its
// relay, from the same address as the server's users. Users with valid keys and tokens
// are always served.
func TestNoRemoteOffSwitch(t *testing.T) {
	t.Parallel()
	relay, newKey := teamRelay(t)
	tokens := tokenFile(t, "alice "+aliceToken+" "+newKey("alice"), "bob "+bobToken+" "+newKey("bob"))
	wrongKey := func(i int) http.Header { return headers("X-Kubbi-Api-Key", fmt.Sprintf("kb_wrong%038d", i)) }
	works := func(s *httpServer, what string) {
		t.Helper()
		p := s.connect(t, overHTTP, bearer(bobToken)) // whose key the relay has not met before
		defer p.close()
		sent := p.mustCall(t, "send", map[string]any{"content": "alive", "max_retrievals": 1})
		if got := p.mustCall(t, "claim", map[string]any{"claim_url": sent.Field("claim_url")}); payload(got) != "alive" {
			t.Errorf("%s: claim: %s", what, got.Text())
		}
	}
	for _, more := range [][]string{nil, {"--allow-own-keys"}} {
		s := startHTTP(t, append([]string{"--base-url", relay, "--auth-token-file", tokens}, more...)...)
		statuses := map[int]int{}
		for i := range 60 {
			resp, _ := s.request(t, http.MethodPost, "/mcp", wrongKey(i), webInit)
			statuses[resp.StatusCode]++
		}
		if more == nil && statuses[http.StatusUnauthorized] != 60 || more != nil && (statuses[http.StatusUnauthorized] != 20 || statuses[http.StatusTooManyRequests] != 40) {
			t.Errorf("%v: statuses %v", more, statuses)
		}
		works(s, fmt.Sprintf("after wrong keys, %v", more))
	}

	// The same at the relay itself, on every route.
	s := startHTTP(t, "--base-url", relay, "--auth-token-file", tokens)
	alice := s.connect(t, overHTTP, bearer(aliceToken))
	url := alice.mustCall(t, "send", map[string]any{"content": "x", "max_retrievals": 1}).Field("claim_url")
	mine, other := headers("Idempotency-Key", "of-the-first-claim-0123456789"), headers("Idempotency-Key", "of-somebody-else-0123456789")
	if got := ask(t, "POST", url+"/claim", mine); got != 200 {
		t.Fatalf("claim: %d", got)
	}
	token := func(i int) string { return relay + "/r/" + fmt.Sprintf("%042dA", i) }
	for i := range 60 {
		ask(t, "GET", token(i), nil)
		ask(t, "POST", url+"/claim", other)
	}
	for what, status := range map[string]int{
		"preview of an unknown token": ask(t, "GET", token(100), nil),
		"inspect of an unknown token": ask(t, "GET", token(100)+"/inspect", nil),
		"claim of an unknown token":   ask(t, "POST", token(100)+"/claim", nil),
		"release of an unknown token": ask(t, "DELETE", token(100)+"/claim", other),
		"another key within a grace":  ask(t, "POST", url+"/claim", other),
		"release with another key":    ask(t, "DELETE", url+"/claim", other),
		"a wrong API key":             ask(t, "GET", relay+"/api/v1/kubbis", bearer("kb_wrong")),
	} {
		if status != http.StatusTooManyRequests {
			t.Errorf("%s: %d", what, status)
		}
	}
	if got := ask(t, "POST", url+"/claim", mine); got != 200 {
		t.Errorf("the right key within the grace: %d", got)
	}
	if got := ask(t, "GET", relay+"/api/v1/kubbis", bearer(newKey("new"))); got != 200 {
		t.Errorf("a new API key: %d", got)
	}
	works(s, "after wrong tokens")
	if got := ask(t, "DELETE", url+"/claim", mine); got != http.StatusNoContent {
		t.Errorf("release: %d", got)
	}
}

// TestReleasesAreGuesses has a stranger guess tokens with DELETE only.
func TestReleasesAreGuesses(t *testing.T) {
	t.Parallel()
	relay, _ := teamRelay(t)
	statuses := map[int]int{}
	for i := range 40 {
		statuses[ask(t, "DELETE", relay+"/r/"+fmt.Sprintf("%042dA", i)+"/claim", headers("Idempotency-Key", "of-somebody-else-0123456789"))]++
	}
	if statuses[http.StatusNoContent] != 30 || statuses[http.StatusTooManyRequests] != 10 {
		t.Errorf("statuses %v", statuses)
	}
}

// TestGuessableIdempotencyKeys has two consumers claim with the same weak key: neither
// gets what the other has burned.
func TestGuessableIdempotencyKeys(t *testing.T) {
	t.Parallel()
	relay, newKey := teamRelay(t)
	alice := startHTTP(t, "--base-url", relay, "--auth-token-file", tokenFile(t, "alice "+aliceToken+" "+newKey("alice"))).
		connect(t, overHTTP, bearer(aliceToken))
	url := alice.mustCall(t, "send", map[string]any{"content": "x", "max_retrievals": 1}).Field("claim_url")
	poor := headers("Idempotency-Key", "1")
	for range 2 {
		for what, status := range map[string]int{
			"claim":   ask(t, "POST", url+"/claim", poor),
			"release": ask(t, "DELETE", url+"/claim", poor),
		} {
			if status != http.StatusBadRequest {
				t.Errorf("%s: %d", what, status)
			}
		}
	}
	if got := alice.mustCall(t, "claim", map[string]any{"claim_url": url}); payload(got) != "x" {
		t.Errorf("the refused claims have burned it: %s", got.Text())
	}
}
