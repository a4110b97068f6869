package cluster

import (
	"context"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"

	"kubbi-mcp/internal/testkit"
)

// roundRobin is a proxy before the nodes of a cluster. It sends each request to the
// next node.
type roundRobin struct {
	*httptest.Server
	nodes atomic.Pointer[[]*url.URL] // set before the first request
	turn  atomic.Uint64
}

func newRoundRobin(t *testing.T) *roundRobin {
	t.Helper()
	p := &roundRobin{}
	p.Server = httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		nodes := *p.nodes.Load()
		r.SetURL(nodes[p.turn.Add(1)%uint64(len(nodes))])
		r.SetXForwarded()
	}})
	t.Cleanup(p.Close)
	return p
}

// before puts the proxy before the nodes of a cluster.
func (p *roundRobin) before(t *testing.T, c *cluster) {
	t.Helper()
	var nodes []*url.URL
	for _, origin := range c.origins() {
		u, err := url.Parse(origin)
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, u)
	}
	p.nodes.Store(&nodes)
}

// TestClusterPythonSDK uses three relays behind a proxy with the official Python SDK.
func TestClusterPythonSDK(t *testing.T) {
	t.Parallel()
	python := testkit.Needs(t, "KUBBI_PYTHON", "a Python with kubbi 0.1.0")
	pythonSDK(t, python, onFile(t))
}

func pythonSDK(t *testing.T, python string, env []string) {
	t.Helper()
	proxy := newRoundRobin(t)
	c := startCluster(t, append(env, "KUBBI_RELAY_PUBLIC_URL="+proxy.URL, "KUBBI_RELAY_TRUSTED_PROXIES=127.0.0.1")...)
	proxy.before(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	testkit.PythonSDK(ctx, t, python, proxy.URL, c.newKey("python"))
	if n := proxy.turn.Load(); n < 50 {
		t.Errorf("only %d requests went through the proxy", n)
	}
}
