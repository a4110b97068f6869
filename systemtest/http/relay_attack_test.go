package http

import (
	"context"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// TestRelayUnderAttack sends to a relay process what a hostile client may send: paths
// that a mux would redirect, and as many connections as it can open.
func TestRelayUnderAttack(t *testing.T) {
	t.Parallel()
	testkit.OnlyPlain(t, "another process")
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	addr, dir := testkit.MustFreeAddr(t), t.TempDir()
	url := "http://" + addr
	log := testkit.StartRelay(ctx, t, url, "relay", "--data-dir", dir, "--listen", addr, "--max-conns", "40", "--lame-duck", "0s", "--log-level", "debug")
	key, err := testkit.Command(ctx, t, "keys", "create", "--label", "test", "--data-dir", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubbi.NewClient(strings.TrimSpace(string(key)), kubbi.WithBaseURL(url))
	if err != nil {
		t.Fatal(err)
	}
	sent, err := client.Send(ctx, kubbi.SendParams{Content: "x", MaxRetrievals: 1})
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
	_, token, _ := strings.Cut(sent.ClaimURL, api.PathClaim)

	transport := &http.Transport{DisableKeepAlives: true}
	get := func(url string, tr *http.Transport) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(b)
	}
	for _, path := range []string{"//r/", "/r//", "/./r/", "/x/../r/"} {
		resp, body := get(url+path+token, transport)
		if resp.StatusCode != 404 || resp.Header.Get("Location") != "" || resp.Header.Get("Cache-Control") != "no-store" || strings.Contains(body, token) {
			t.Errorf("%s: %s %v %s", path, resp.Status, resp.Header, body)
		}
	}
	if strings.Contains(log.String(), token) {
		t.Error("the log has the token")
	}
	if runtime.GOOS != "linux" {
		return // one loopback address
	}
	for range 60 { // half open: they say nothing
		c, err := net.DialTimeout("tcp", addr, testkit.Patience)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	other := &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext}
	if resp, body := get(url+api.PathClaim+token, other); resp.StatusCode != 200 || !strings.Contains(body, `"retrieval_count":0`) {
		t.Errorf("another address, meanwhile: %s %s", resp.Status, body)
	}
}
