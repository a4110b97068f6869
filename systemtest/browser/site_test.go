package browser

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/relay/relaytest"
)

// needsChromium gives the variables with which a program of testdata/page finds Chromium and
// its modules. It skips or fails the test if they are missing.
func needsChromium(t *testing.T) []string {
	t.Helper()
	modules := testkit.Needs(t, "KUBBI_PAGE", "the node_modules folder with playwright-core, axe-core and jsqr")
	chromium := os.Getenv("KUBBI_CHROMIUM")
	if chromium == "" {
		var err error
		if chromium, err = exec.LookPath("chromium"); err != nil {
			chromium = testkit.Needs(t, "KUBBI_CHROMIUM", "Chromium")
		}
	}
	return []string{"KUBBI_CHROMIUM=" + chromium, "KUBBI_PAGE=" + modules, "NO_PROXY=127.0.0.1,.test"}
}

// runInChromium runs a program of testdata/page with these variables. It must succeed
// without a line "FAILED", and its last line must match the pattern last.
func runInChromium(ctx context.Context, t *testing.T, program, last string, env ...string) {
	t.Helper()
	cmd := exec.CommandContext(ctx, testkit.NeedsNode(t), filepath.Join("testdata", "page", program))
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = 10 * time.Second
	report, err := cmd.CombinedOutput()
	t.Logf("%s", report)
	if err != nil || !regexp.MustCompile(`(?m)^`+last+`\n\z`).Match(report) || bytes.Contains(report, []byte("FAILED")) {
		t.Errorf("%s: %v", program, err)
	}
}

// startTeam starts a team's relay at an address, and gives an API key and the relay's log.
func startTeam(ctx context.Context, t *testing.T, addr string, args ...string) (apiKey string, log *testkit.Log) {
	t.Helper()
	dir := t.TempDir()
	log = testkit.StartRelay(ctx, t, "http://"+addr, append([]string{"relay", "--data-dir", dir, "--listen", addr, "--lame-duck", "0s"}, args...)...)
	key, err := testkit.Command(ctx, t, "keys", "create", "--label", "test", "--data-dir", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(key)), log
}

// site is a proxy before a relay. It records what browsers send.
type site struct {
	t      *testing.T
	ctx    context.Context
	server *httptest.Server
	relay  *relaytest.Server
	client *kubbi.Client
	next   *httputil.ReverseProxy // to the relay

	mu       sync.Mutex
	received bytes.Buffer
}

// newSite starts a proxy whose requests handler gets.
func newSite(ctx context.Context, t *testing.T, handler func(s *site) http.Handler) *site {
	t.Helper()
	s := &site{t: t, ctx: ctx, relay: relaytest.New(t)}
	var err error
	if s.client, err = kubbi.NewClient(s.relay.APIKey, kubbi.WithBaseURL(s.relay.URL)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.client.Close() })
	u, err := url.Parse(s.relay.URL)
	if err != nil {
		t.Fatal(err)
	}
	s.next = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }}
	s.server = httptest.NewServer(handler(s))
	t.Cleanup(s.server.Close)
	return s
}

// record records a request.
func (s *site) record(r *http.Request) {
	dump, err := httputil.DumpRequest(r, true)
	if err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received.Write(dump)
}

// proxied is the URL of the site that leads to a URL of the relay.
func (s *site) proxied(u string) string { return s.server.URL + strings.TrimPrefix(u, s.relay.URL) }
