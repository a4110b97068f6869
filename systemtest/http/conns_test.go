package http

import (
	"context"
	"io"
	"net"
	"net/http"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
)

// TestConnectionsHaveShares has one address open as many connections as it can, with
// half a line on each. Another address is served meanwhile. The first address is served
// again after it has closed them.
func TestConnectionsHaveShares(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("needs more than one loopback address")
	}
	for name, tc := range map[string]struct {
		args  []string
		files string // that the process may open
	}{
		"by the flag":                   {[]string{"--max-conns", "40"}, "1024"},
		"by what the process may open":  {nil, "128"},
		"with tokens, and few of files": {[]string{"--auth-token-file", tokenFile(t, "alice "+aliceToken)}, "96"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := command(context.Background(), t, tc.args...)
			limited := exec.Command("sh", append([]string{"-c", "ulimit -n " + tc.files + ` && exec "$0" "$@"`}, cmd.Args...)...)
			limited.Env = cmd.Env
			s := launchHTTP(t, limited)
			t.Cleanup(func() { s.stop(t) })
			addr := strings.TrimPrefix(s.url, "http://")
			var held []net.Conn
			for range 200 {
				c, err := net.DialTimeout("tcp", addr, testkit.Patience)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.WriteString(c, "POST /mcp HT") // fails where it was closed at once
				held = append(held, c)
			}
			healthy := func(from string) bool {
				tr := &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext}
				resp, err := (&http.Client{Transport: tr, Timeout: testkit.Patience}).Get(s.url + "/healthz")
				if err != nil {
					t.Log(err)
					return false
				}
				resp.Body.Close()
				return resp.StatusCode == http.StatusOK
			}
			if !healthy("127.0.0.2") {
				t.Error("another address is shut out")
			}
			for _, c := range held {
				c.Close()
			}
			testkit.Await(t, "the first address to be served again", func() bool { return healthy("127.0.0.1") })
			if log := s.log.String(); strings.Contains(log, "too many open files") {
				t.Errorf("it has run out of files: %.2000s", log)
			}
		})
	}
}
