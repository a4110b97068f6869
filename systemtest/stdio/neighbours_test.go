package stdio

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"kubbi-mcp/internal/testkit"
)

// reachOf sends over stdio. It returns the claim URL and from where it works.
func reachOf(t *testing.T, s *session, args map[string]any) (claimURL, reach string) {
	t.Helper()
	got := s.call(t, "send", args)
	if got.StructuredContent.ClaimURL == "" {
		t.Fatal(got.text())
	}
	return got.StructuredContent.ClaimURL, got.StructuredContent.Reach
}

// Hosts with different data directories can't share a store. They still hand over to
// each other, whichever was started first, also after that one was killed.
func TestHostsWithDataDirsOfTheirOwn(t *testing.T) {
	url := testkit.FreeURL(t)
	var hosts []*session
	for i := range 3 {
		s := start(t, "", "--data-dir", filepath.Join(t.TempDir(), "kubbi"), "--relay-url", url)
		hosts = append(hosts, s)
		waitLog(t, s, map[bool]string{true: "relay listens addr", false: "relay listens for other relays"}[i == 0])
	}
	handOver := func(from, to *session, what string) {
		t.Helper()
		claimURL, reach := reachOf(t, from, map[string]any{"content": what, "max_retrievals": 1})
		if reach != "this machine" {
			t.Errorf("%s: reach %q", what, reach)
		}
		got := to.call(t, "claim", map[string]any{"claim_url": claimURL})
		text, err := json.Marshal(got.Content)
		if err != nil || got.IsError || !strings.Contains(string(text), what) {
			t.Errorf("%s: %s", what, text)
		}
		again := from.call(t, "claim", map[string]any{"claim_url": claimURL})
		if !again.IsError {
			t.Errorf("%s was claimed twice", what)
		}
	}
	for i, from := range hosts {
		for j, to := range hosts {
			if i != j {
				handOver(from, to, fmt.Sprintf("from %d to %d", i, j))
			}
		}
	}
	hosts[0].kill()
	handOver(hosts[1], hosts[2], "after the first was killed")
	handOver(hosts[2], hosts[1], "and back")
}

// waitLog waits until a server's log has a text.
func waitLog(t *testing.T, s *session, text string) {
	t.Helper()
	testkit.Await(t, fmt.Sprintf("%q in the log", text), func() bool { return strings.Contains(s.log.String(), text) })
}

// An agent with a claim URL of another machine is told so, and how machines share a
// relay. If the kubbi has ended, the agent is told that.
func TestClaimURLOfAnotherMachine(t *testing.T) {
	const at = "http://127.0.0.1:"
	url := testkit.FreeURL(t)
	other, _, err := testkit.Run(t, []string{"KUBBI_DATA_DIR=" + filepath.Join(t.TempDir(), "other machine"), "KUBBI_RELAY_URL=" + url}, "send", "x")
	if err != nil {
		t.Fatal(err)
	}
	other = strings.TrimSpace(other)
	s := start(t, "", "--data-dir", filepath.Join(t.TempDir(), "kubbi"), "--relay-url", url)
	for _, tool := range []string{"inspect", "claim"} {
		got := s.call(t, tool, map[string]any{"claim_url": other})
		text := got.text()
		if !got.IsError || !strings.Contains(text, "KUBBI_BASE_URL") || !strings.Contains(text, "machine") || strings.Contains(text, "long ago") || strings.Contains(text, other[len(other)-20:]) {
			t.Errorf("%s: %s", tool, text)
		}
	}
	_, errs, err := testkit.Run(t, []string{"KUBBI_DATA_DIR=" + t.TempDir(), "KUBBI_RELAY_URL=" + url}, "claim", other)
	if err == nil || !strings.Contains(errs, "KUBBI_BASE_URL") || !strings.HasPrefix(url, at) {
		t.Errorf("%v: %s", err, errs)
	}
}

// Another program at the address gets a request for /health only, and send says that
// curl can't claim.
func TestStrangerAtTheAddress(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, fmt.Sprint(r.Method, " ", r.URL.Path, " ", r.Header.Get("Authorization")))
		w.Header().Set("Kubbi-Relay", "0123456789abcdef")
		fmt.Fprint(w, `{"status":"ok","content":"forged","content_type":"text/plain"}`)
	}))
	defer stranger.Close()
	a := start(t, "", "--data-dir", filepath.Join(t.TempDir(), "a"), "--relay-url", stranger.URL)
	b := start(t, "", "--data-dir", filepath.Join(t.TempDir(), "b"), "--relay-url", stranger.URL)
	waitLog(t, a, "held by another program")
	claimURL, reach := reachOf(t, a, map[string]any{"content": "x"})
	if !strings.Contains(reach, "not curl") {
		t.Errorf("reach %q", reach)
	}
	waitLog(t, b, "relay listens for other relays")
	if got := b.call(t, "claim", map[string]any{"claim_url": claimURL}); got.IsError {
		t.Errorf("the other host: %s", got.text())
	}
	unknown := claimURL[:len(claimURL)-3] + "AAA"
	if got := b.call(t, "claim", map[string]any{"claim_url": unknown}); !got.IsError || !strings.Contains(got.text(), "another program") {
		t.Errorf("unknown: %s", got.text())
	}
	mu.Lock()
	defer mu.Unlock()
	for _, s := range seen {
		if s != "GET /health " {
			t.Errorf("a stranger was asked %.12s...", s)
		}
	}
}

// A team's relay at the address of the embedded one is used if the user has allowed it.
func TestTeamsRelayAtTheAddress(t *testing.T) {
	url := testkit.FreeURL(t)
	dir := filepath.Join(t.TempDir(), "team")
	path := testkit.Program(t)
	team := exec.CommandContext(t.Context(), path, "relay", "--data-dir", dir, "--listen", strings.TrimPrefix(url, "http://"), "--lame-duck", "0s")
	if err := team.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = team.Process.Kill()
		_ = team.Wait()
	})
	testkit.WaitHealthy(t.Context(), t, url+"/health")
	key, errs, err := testkit.Run(t, nil, "--data-dir", dir, "keys", "create", "--label", "x")
	if err != nil {
		t.Fatalf("%v: %s", err, errs)
	}
	req, err := http.NewRequestWithContext(t.Context(), "POST", url+"/api/v1/kubbis",
		strings.NewReader(`{"content":"of the team","content_type":"text/plain","ttl_seconds":600,"max_retrievals":1}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(key))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var sent struct {
		ClaimURL string `json:"claim_url"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&sent); err != nil || sent.ClaimURL == "" {
		t.Fatalf("%d: %v", resp.StatusCode, err)
	}
	env := []string{"KUBBI_RELAY_URL=" + url, "KUBBI_DATA_DIR=" + filepath.Join(t.TempDir(), "kubbi")}
	if _, errs, err := testkit.Run(t, env, "claim", sent.ClaimURL); err == nil || !strings.Contains(errs, "--allow-origin "+url) {
		t.Errorf("%v: %s", err, errs)
	}
	env = append(env, "KUBBI_ALLOW_ORIGINS="+url)
	if out, errs, err := testkit.Run(t, env, "claim", sent.ClaimURL); err != nil || out != "of the team" {
		t.Errorf("%q, %v: %s", out, err, errs)
	}
	if _, errs, err := testkit.Run(t, env, "claim", sent.ClaimURL); err == nil || !strings.Contains(errs, "burned") {
		t.Errorf("%v: %s", err, errs)
	}
}

// A host whose kubbis are created at another service says where they can be claimed.
func TestReachOfATeamsRelay(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := start(t, "", "--data-dir", t.TempDir(), "--relay-url", testkit.FreeURL(t), "--base-url", "http://"+l.Addr().String(), "--api-key", "kb_x")
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, `{"id":"01a224b6-ec72-754a-846f-1e04ebe80ff6","claim_url":"http://team.example/r/AAAAAAAAAAAAAAAAAAAAAAAA","claim_token":"AAAAAAAAAAAAAAAAAAAAAAAA","status":"active","content_type":"text/plain","max_retrievals":null,"metadata":null,"created_at":"2026-11-29T00:00:00.000Z","expires_at":"2026-11-29T01:00:00.000Z"}`)
		}))
	}()
	if _, reach := reachOf(t, s, map[string]any{"content": "x"}); reach != "this machine" {
		t.Errorf("reach %q", reach)
	}
}
