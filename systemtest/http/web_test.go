package http

import (
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"
)

const (
	webPing = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	webInit = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}`
)

// paths are the paths and methods that a web page could request.
var paths = map[string]string{
	"/mcp": http.MethodPost, "/sse": http.MethodGet, "/message?sessionId=x": http.MethodPost, "/metrics": http.MethodGet,
	"/healthz": http.MethodGet, "/.well-known/oauth-protected-resource": http.MethodGet, "/": http.MethodGet,
}

// crossOrigin gives the headers of an answer that let web pages read it.
func crossOrigin(resp *http.Response) []string {
	var names []string
	for name := range maps.Keys(resp.Header) {
		if strings.HasPrefix(name, "Access-Control-") {
			names = append(names, name)
		}
	}
	return names
}

// TestRebinding calls a server at a loopback address under other host names.
func TestRebinding(t *testing.T) {
	t.Parallel()
	s := startHTTP(t)
	_, port, _ := strings.Cut(strings.TrimPrefix(s.url, "http://"), ":")
	for _, host := range []string{
		"evil.example.com", "evil.example.com:" + port, "127.0.0.1.evil.example.com:" + port, "localhost.evil.example.com", "evil-localhost",
		"0.0.0.0:" + port, "[::]:" + port, "169.254.169.254", "192.168.0.1:" + port, "2130706433:" + port, "0x7f000001", "127.1:" + port,
	} {
		for path, method := range paths {
			resp, body := s.request(t, method, path, headers("Host", host), webInit)
			if resp.StatusCode != http.StatusForbidden && resp.StatusCode != http.StatusBadRequest {
				t.Errorf("%s %s as %s: %s, %s", method, path, host, resp.Status, body)
			}
			if len(resp.Cookies()) > 0 || resp.Header.Get("Mcp-Session-Id") != "" || len(crossOrigin(resp)) > 0 {
				t.Errorf("%s %s as %s gives %v", method, path, host, resp.Header)
			}
		}
	}
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"localhost:" + port, "LocalHost", "localhost.:" + port, "127.0.0.1", "127.0.0.2:" + port, "[::1]:" + port, "[::ffff:127.0.0.1]", name + ":" + port} {
		if resp, body := s.request(t, http.MethodPost, "/mcp", headers("Host", host), webInit); resp.StatusCode != http.StatusOK {
			t.Errorf("as %s: %s, %s", host, resp.Status, body)
		}
	}
}

// TestForeignOrigin calls as web pages of other sites do. No origin is allowed.
func TestForeignOrigin(t *testing.T) {
	t.Parallel()
	s := startHTTP(t)
	for name, header := range map[string]http.Header{
		"another site":           headers("Origin", "https://evil.example.com"),
		"another port":           headers("Origin", "http://localhost:3000"),
		"a sandbox":              headers("Origin", "null"),
		"a file":                 headers("Origin", "file://"),
		"an extension":           headers("Origin", "chrome-extension://abcdefghijklmnop"),
		"nothing in it":          headers("Origin", ""),
		"two":                    headers("Origin", s.url, "Origin", "https://evil.example.com"),
		"the same, twice":        headers("Origin", s.url, "Origin", s.url),
		"a longer name":          headers("Origin", s.url+".evil.example.com"),
		"an image":               headers("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"),
		"a sibling":              headers("Sec-Fetch-Site", "same-site"),
		"with credentials in it": headers("Origin", "http://user@"+strings.TrimPrefix(s.url, "http://")+"@evil.example.com"),
	} {
		t.Run(name, func(t *testing.T) {
			for path, method := range paths {
				for _, method := range []string{method, http.MethodOptions} {
					h := header.Clone()
					if method == http.MethodOptions {
						h.Set("Access-Control-Request-Method", "POST")
						h.Set("Access-Control-Request-Headers", "content-type,mcp-session-id")
					}
					resp, body := s.request(t, method, path, h, webInit)
					if resp.StatusCode != http.StatusForbidden || len(crossOrigin(resp)) > 0 || resp.Header.Get("Mcp-Session-Id") != "" {
						t.Errorf("%s %s: %s, %v, %s", method, path, resp.Status, resp.Header, body)
					}
				}
			}
		})
	}
	for name, header := range map[string]http.Header{
		"none":       nil,
		"our own":    headers("Origin", s.url),
		"a bookmark": headers("Sec-Fetch-Site", "none"),
	} {
		for _, path := range []string{"/mcp", "/sse"} {
			resp, body := s.request(t, paths[path], path, header, webInit)
			if resp.StatusCode != http.StatusOK || len(crossOrigin(resp)) > 0 {
				t.Errorf("origin %s, %s: %s, %v, %s", name, path, resp.Status, resp.Header, body)
			}
		}
	}
}

// TestCORS calls as web pages of an allowed origin do, and of origins that look like
// it.
func TestCORS(t *testing.T) {
	t.Parallel()
	const page = "https://app.example.com"
	s := startHTTP(t, "--cors-origin", page, "--cors-origin", "http://localhost:3000", "--auth-token-file", tokenFile(t, "alice "+aliceToken))
	for _, origin := range []string{
		"https://app.example.com.evil.example.com", "https://evilapp.example.com", "https://example.com", "http://app.example.com",
		"https://app.example.com:8443", "https://app.example.com/", "https://sub.app.example.com", "null", "http://localhost:3001",
	} {
		for _, method := range []string{http.MethodOptions, http.MethodPost} {
			h := bearer(aliceToken)
			h.Set("Origin", origin)
			h.Set("Access-Control-Request-Method", "POST")
			resp, body := s.request(t, method, "/mcp", h, webInit)
			if resp.StatusCode != http.StatusForbidden || len(crossOrigin(resp)) > 0 {
				t.Errorf("%s from %s: %s, %v, %s", method, origin, resp.Status, resp.Header, body)
			}
		}
	}
	preflight := headers("Origin", page, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type,mcp-session-id,mcp-protocol-version")
	for path := range paths {
		resp, _ := s.request(t, http.MethodOptions, path, preflight, "")
		allowed := strings.ToLower(resp.Header.Get("Access-Control-Allow-Headers"))
		if resp.StatusCode != http.StatusNoContent || resp.Header.Get("Access-Control-Allow-Origin") != page || resp.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("preflight of %s: %s, %v", path, resp.Status, resp.Header)
		}
		for _, name := range []string{"authorization", "content-type", "mcp-session-id", "mcp-protocol-version", "x-kubbi-api-key"} {
			if !strings.Contains(allowed, name) {
				t.Errorf("preflight of %s does not allow %s: %s", path, name, allowed)
			}
		}
	}
	for path, want := range map[string]int{"/mcp": http.StatusOK, "/sse": http.StatusOK, "/message?sessionId=x": http.StatusNotFound, "/healthz": http.StatusOK} {
		h := bearer(aliceToken)
		h.Set("Origin", page)
		resp, body := s.request(t, paths[path], path, h, webInit)
		if resp.StatusCode != want || len(resp.Header.Values("Access-Control-Allow-Origin")) != 1 || resp.Header.Get("Access-Control-Allow-Origin") != page ||
			!strings.Contains(resp.Header.Get("Access-Control-Expose-Headers"), "Mcp-Session-Id") || !strings.Contains(resp.Header.Get("Vary"), "Origin") {
			t.Errorf("%s: %s, %v, %s", path, resp.Status, resp.Header, body)
		}
		// A caller that is no web page gets no CORS headers.
		h.Del("Origin")
		if resp, _ := s.request(t, paths[path], path, h, webInit); len(crossOrigin(resp)) > 0 {
			t.Errorf("%s without an origin: %v", path, resp.Header)
		}
	}
	// A page may read why it is refused.
	if resp, _ := s.request(t, http.MethodPost, "/mcp", headers("Origin", page), webPing); resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("Access-Control-Allow-Origin") != page {
		t.Errorf("without a token: %s, %v", resp.Status, resp.Header)
	}
}

// TestPublicURL calls a server behind a proxy under its public names.
func TestPublicURL(t *testing.T) {
	t.Parallel()
	s := startHTTP(t, "--public-url", "https://kubbi.example.com", "--allow-host", "proxy.internal", "--auth-token-file", tokenFile(t, "alice "+aliceToken))
	for host, want := range map[string]int{"kubbi.example.com": 200, "kubbi.example.com:443": 200, "proxy.internal:8118": 200, "kubbi.example.com.evil.example.com": 403, "xproxy.internal": 403} {
		h := bearer(aliceToken)
		h.Set("Host", host)
		h.Set("Origin", "https://kubbi.example.com")
		if resp, body := s.request(t, http.MethodPost, "/mcp", h, webInit); resp.StatusCode != want {
			t.Errorf("as %s: %s, %s", host, resp.Status, body)
		}
	}
	resp, _ := s.request(t, http.MethodPost, "/mcp", headers("Host", "kubbi.example.com"), webPing)
	if c := resp.Header.Get("WWW-Authenticate"); !strings.Contains(c, `"https://kubbi.example.com/.well-known/oauth-protected-resource/mcp"`) {
		t.Errorf("the challenge is %q", c)
	}
	_, body := s.request(t, http.MethodGet, "/.well-known/oauth-protected-resource/mcp", headers("Host", "kubbi.example.com"), "")
	if !strings.Contains(body, `"https://kubbi.example.com/mcp"`) {
		t.Errorf("the metadata is %s", body)
	}
}
