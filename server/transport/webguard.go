package transport

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"

	"kubbi-mcp/internal/origin"
)

// WebGuard refuses requests of foreign web pages: of pages whose own name points at this
// server's address (DNS rebinding), and of pages that call across sites.
type WebGuard struct {
	public  string // origin; "": none
	hosts   map[string]bool
	origins map[string]bool
	headers string // headers that pages may send
}

// NewWebGuard makes a guard. publicURL is the origin under which clients know the
// server, or "". hosts are names that a Host header may have in addition to this
// machine's own. origins are those of pages that may call. Such pages may send headers in
// addition to MCP's.
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
	for _, text := range origins {
		o, err := origin.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("origin %q %w", text, err)
		}
		g.origins[o.String()] = true
	}
	if publicURL != "" {
		o, err := origin.Parse(publicURL)
		if err != nil {
			return nil, fmt.Errorf("public URL %q %w", publicURL, err)
		}
		g.public = o.String()
		g.hosts[o.Hostname()] = true
	}
	return g, nil
}

// hostname gives the name in a Host header, in lower case.
func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

// PublicURL is the origin under which clients know the server, "" if it was not
// given.
func (g *WebGuard) PublicURL() string { return g.public }

// Check refuses a request that a foreign web page has made.
func (g *WebGuard) Check(r *http.Request) *Refusal {
	if !g.knows(r) {
		return Refuse(http.StatusForbidden, "host",
			"Forbidden: the Host header names no host of this server; --allow-host adds one")
	}
	origins := r.Header.Values("Origin")
	switch {
	case len(origins) > 1:
	case len(origins) == 1:
		if g.origins[origins[0]] || sameOrigin(origins[0], r) || g.public != "" && origins[0] == g.public {
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

// knows reports whether the Host header has a name of this server or an IP address. If the
// request came in at a loopback address, the IP address must be one too. A page that uses
// DNS rebinding sends its own name, never an address.
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

// sameOrigin reports whether a page is this server's own. A proxy in front of plain
// HTTP may have TLS.
func sameOrigin(text string, r *http.Request) bool {
	for _, scheme := range []string{"https", "http"} {
		if o, err := origin.New(scheme, r.Host); err == nil && o.String() == text && (scheme == "https" || r.TLS == nil) {
			return true
		}
	}
	return false
}

// Headers for the pages that may call across origins.
const (
	corsMethods = "GET, POST, DELETE"
	corsHeaders = "Accept, Authorization, Content-Type, Last-Event-ID, Mcp-Method, Mcp-Name, Mcp-Protocol-Version, " +
		"Mcp-Session-Id, Traceparent, Tracestate"
	corsExposed = "Mcp-Session-Id, Retry-After, WWW-Authenticate"
)

// CORS adds the headers that let a browser's pages of the allowed origins call. done
// is true for a preflight request, which CORS has answered.
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
