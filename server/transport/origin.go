package transport

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
)

// WebGuard keeps web pages away from the server: those that point a name of their
// own at its address (DNS rebinding), and those that call across sites.
type WebGuard struct {
	public  *url.URL // nil: none
	hosts   map[string]bool
	origins map[string]bool
	headers string // that pages may send
}

// NewWebGuard makes a guard. publicURL is the origin under which clients know the
// server, or "". hosts are names that a Host header may have beside this
// machine's own. origins are those of pages that may call, and headers are those
// of the server that such pages may send beside MCP's.
func NewWebGuard(publicURL string, hosts, origins, headers []string) (*WebGuard, error) {
	g := &WebGuard{hosts: map[string]bool{}, origins: map[string]bool{}, headers: strings.Join(append([]string{corsHeaders}, headers...), ", ")}
	if name, err := os.Hostname(); err == nil {
		g.hosts[strings.ToLower(name)] = true
	}
	for _, h := range hosts {
		if h == "" || strings.ContainsAny(h, "/*@ ") {
			return nil, fmt.Errorf("host %q is not a host name", h)
		}
		g.hosts[hostname(h)] = true
	}
	for _, o := range origins {
		u, err := parseWebOrigin(o)
		if err != nil {
			return nil, err
		}
		g.origins[u] = true
	}
	if publicURL != "" {
		origin, err := parseWebOrigin(publicURL)
		if err != nil {
			return nil, err
		}
		g.public, _ = url.Parse(origin)
		g.hosts[hostname(g.public.Host)] = true
	}
	return g, nil
}

// parseWebOrigin gives an origin as browsers write it.
func parseWebOrigin(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || strings.Contains(u.Host, "*") {
		return "", fmt.Errorf("origin %q is not of the form https://host[:port]", s)
	}
	host := strings.ToLower(u.Host)
	if u.Port() == defaultPort(u.Scheme) {
		host = strings.TrimSuffix(host, ":"+u.Port())
	}
	return u.Scheme + "://" + host, nil
}

func defaultPort(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}

// hostname is the name in a Host header, in lower case.
func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

// PublicURL is the origin under which clients know the server, nil if it was not
// given.
func (g *WebGuard) PublicURL() *url.URL { return g.public }

// Check refuses a request that a foreign web page has made.
func (g *WebGuard) Check(r *http.Request) *Refusal {
	if !g.knows(r) {
		return Refuse(http.StatusForbidden, "host",
			"Forbidden: the Host header names no host of this server; it can be told of one with --allow-host")
	}
	origins := r.Header.Values("Origin")
	switch {
	case len(origins) > 1:
	case len(origins) == 1:
		if g.origins[origins[0]] || sameOrigin(origins[0], r) || g.public != nil && origins[0] == g.public.String() {
			return nil
		}
	default:
		// Not every request that a page causes has an Origin.
		if site := r.Header.Get("Sec-Fetch-Site"); site != "cross-site" && site != "same-site" {
			return nil
		}
	}
	return Refuse(http.StatusForbidden, "origin",
		"Forbidden: web pages of this origin may not call; they can be allowed with --cors-origin")
}

// knows reports whether the Host header names this server. At a loopback
// address that is a loopback name; elsewhere an address will do as well, since
// a page that has rebound a name is known by its name.
func (g *WebGuard) knows(r *http.Request) bool {
	name := hostname(r.Host)
	if name == "localhost" || g.hosts[name] {
		return true
	}
	ip, err := netip.ParseAddr(name)
	if err != nil {
		return false
	}
	return ip.Unmap().IsLoopback() || !atLoopback(r)
}

// atLoopback reports whether a request came in at a loopback address.
func atLoopback(r *http.Request) bool {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return true
	}
	ap, err := netip.ParseAddrPort(addr.String())
	return err != nil || ap.Addr().Unmap().IsLoopback()
}

// sameOrigin reports whether a page is this server's own. Before one that speaks
// plain HTTP there may be a proxy that has TLS.
func sameOrigin(origin string, r *http.Request) bool {
	u, err := url.Parse(origin)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http" && r.TLS == nil) && strings.EqualFold(u.Host, r.Host)
}

// Headers of cross-origin calls from the pages that may make them.
const (
	corsMethods = "GET, POST, DELETE"
	corsHeaders = "Accept, Authorization, Content-Type, Last-Event-ID, Mcp-Method, Mcp-Name, Mcp-Protocol-Version, " +
		"Mcp-Session-Id, Traceparent, Tracestate"
	corsExposed = "Mcp-Session-Id, Retry-After, WWW-Authenticate"
)

// CORS adds what a browser needs to let a page of a named origin call. It
// reports whether that was the whole of the request.
func (g *WebGuard) CORS(w http.ResponseWriter, r *http.Request) (done bool) {
	preflight := r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
	if origin := r.Header.Get("Origin"); g.origins[origin] {
		h := w.Header()
		h.Add("Vary", "Origin")
		h.Set("Access-Control-Allow-Origin", origin)
		if preflight {
			h.Set("Access-Control-Allow-Methods", corsMethods)
			h.Set("Access-Control-Allow-Headers", g.headers)
			h.Set("Access-Control-Max-Age", "600")
		} else {
			h.Set("Access-Control-Expose-Headers", corsExposed)
		}
	}
	if preflight {
		w.WriteHeader(http.StatusNoContent)
	}
	return preflight
}
