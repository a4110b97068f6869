package http

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

// unauthorized checks that a request is refused, and that the refusal names the
// metadata of the protected resource.
func unauthorized(t *testing.T, s *httpServer, path string, header http.Header) {
	t.Helper()
	method := http.MethodGet
	if strings.HasPrefix(path, "/message") || path == "/mcp" {
		method = http.MethodPost
	}
	resp, body := s.request(t, method, path, header, `{"jsonrpc":"2.0","id":1,"method":"ping"}`)
	challenge := resp.Header.Get("WWW-Authenticate")
	m := regexp.MustCompile(`^Bearer realm="kubbi-mcp", resource_metadata="([^"]+)"`).FindStringSubmatch(challenge)
	if resp.StatusCode != http.StatusUnauthorized || m == nil || !json.Valid([]byte(body)) {
		t.Errorf("%s %s: %s, %q, %q", method, path, resp.Status, challenge, body)
		return
	}
	for _, values := range header {
		for _, v := range values {
			if len(v) > 8 && (strings.Contains(body, v) || strings.Contains(challenge, v)) {
				t.Errorf("%s is told again: %q, %q", v, challenge, body)
			}
		}
	}
	at, ok := strings.CutPrefix(m[1], s.url)
	if !ok {
		t.Fatalf("the metadata is elsewhere: %s", m[1])
	}
	resp, body = s.request(t, http.MethodGet, at, nil, "")
	var metadata struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
	}
	if err := json.Unmarshal([]byte(body), &metadata); err != nil || resp.StatusCode != http.StatusOK ||
		!strings.HasPrefix(metadata.Resource, s.url+"/") || len(metadata.Servers) == 0 {
		t.Errorf("%s: %s, %q", at, resp.Status, body)
	}
}

// TestTokens tries many kinds of wrong tokens.
func TestTokens(t *testing.T) {
	t.Parallel()
	s := startHTTP(t, "--auth-token-file", tokenFile(t, "alice "+aliceToken, "bob "+bobToken))
	wrong := "wrong-token-wrong-token"
	for name, header := range map[string]http.Header{
		"none":        nil,
		"empty":       headers("Authorization", ""),
		"scheme only": headers("Authorization", "Bearer"),
		"no token":    headers("Authorization", "Bearer "),
		"wrong":       bearer(wrong),
		"basic":       headers("Authorization", "Basic "+aliceToken),
		"bare":        headers("Authorization", aliceToken),
		"a prefix":    bearer(aliceToken[:len(aliceToken)-1]),
		"longer":      bearer(aliceToken + "x"),
		"other case":  bearer(strings.ToUpper(aliceToken)),
		"its name":    bearer("alice"),
		"two":         headers("Authorization", "Bearer "+aliceToken, "Authorization", "Bearer "+bobToken),
		"twice":       headers("Authorization", "Bearer "+aliceToken, "Authorization", "Bearer "+aliceToken),
		"a list":      bearer(aliceToken + ", Bearer " + bobToken),
		"in the URL":  headers("X-Token", aliceToken),
		"long":        bearer(strings.Repeat("A", 20000)),
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{"/mcp", "/sse", "/message?sessionId=x", "/metrics"} {
				if name == "in the URL" {
					path += "?access_token=" + aliceToken
					path = strings.Replace(path, "sessionId=x?", "sessionId=x&", 1)
				}
				unauthorized(t, s, path, header)
			}
		})
	}
	for name, header := range map[string]http.Header{
		"right":      bearer(aliceToken),
		"lower case": headers("Authorization", "bearer "+aliceToken),
		"spaces":     headers("Authorization", "Bearer  "+aliceToken+" "),
	} {
		if resp, _ := s.request(t, http.MethodPost, "/mcp", header, `{"jsonrpc":"2.0","id":1,"method":"ping"}`); resp.StatusCode == http.StatusUnauthorized {
			t.Errorf("%s: %s", name, resp.Status)
		}
	}
	if resp, body := s.request(t, http.MethodGet, "/healthz", nil, ""); resp.StatusCode != http.StatusOK || !strings.Contains(body, "ok") {
		t.Errorf("healthz without a token: %s, %s", resp.Status, body)
	}
	secretless(t, s, aliceToken, bobToken, wrong)
}

// TestStartRefused starts servers with settings that would let strangers in.
func TestStartRefused(t *testing.T) {
	t.Parallel()
	open := tokenFile(t, "alice "+aliceToken)
	if err := os.Chmod(open, 0o640); err != nil {
		t.Fatal(err)
	}
	cert, key := certificate(t, "first")
	dir := t.TempDir()
	const remote = "--base-url=https://kubbi.example.com"
	for _, tt := range []struct {
		name string
		env  string
		args []string
		want string
	}{
		{"all addresses", "", []string{"--addr", "0.0.0.0:0"}, "loopback"},
		{"no host", "", []string{"--addr", ":0"}, "loopback"},
		{"all IPv6 addresses", "", []string{"--addr", "[::]:0"}, "loopback"},
		{"no port", "", []string{"--addr", "127.0.0.1"}, "HOST:PORT"},
		{"readable token file", "", []string{"--auth-token-file", open}, "chmod 600"},
		{"no token file", "", []string{"--auth-token-file", open + "-none"}, "auth-token-file"},
		{"empty token file", "", []string{"--auth-token-file", tokenFile(t, "# nobody")}, "no token"},
		{"one token twice", "", []string{"--auth-token-file", tokenFile(t, "alice "+aliceToken, "bob "+aliceToken)}, `line 2: "bob" has the token of another`},
		{"one name twice", "", []string{"--auth-token-file", tokenFile(t, "alice "+aliceToken, "alice "+bobToken)}, "twice"},
		{"a short token", "", []string{"--auth-token-file", tokenFile(t, "alice short-secret")}, "16 to 512"},
		{"a line too full", "", []string{"--auth-token-file", tokenFile(t, "alice "+aliceToken+" kb_x more")}, "line 1"},
		{"a bad name", "", []string{"--auth-token-file", tokenFile(t, "a/b "+aliceToken)}, "line 1"},
		{"token and file", "KUBBI_MCP_TOKEN=" + bobToken, []string{"--auth-token-file", tokenFile(t, "alice "+aliceToken)}, "exclude each other"},
		{"a short single token", "KUBBI_MCP_TOKEN=short-secret", nil, "16 to 512"},
		{"callers who would share a key", "KUBBI_API_KEY=kb_mine", []string{remote, "--auth-token-file", tokenFile(t, "alice "+aliceToken, "bob "+bobToken)}, "alice has no Kubbi API key"},
		{"one caller who would", "KUBBI_API_KEY=kb_mine", []string{remote, "--auth-token-file", tokenFile(t, "alice "+aliceToken+" kb_alices", "bob "+bobToken)}, "bob has no Kubbi API key"},
		{"a pattern for an origin", "", []string{"--cors-origin", "https://*.example.com"}, "cors-origin"},
		{"any origin", "", []string{"--cors-origin", "*"}, "cors-origin"},
		{"a null origin", "", []string{"--cors-origin", "null"}, "cors-origin"},
		{"a pattern for a host", "", []string{"--allow-host", "*"}, "allow-host"},
		{"a public URL with a path", "", []string{"--public-url", "https://example.com/kubbi"}, "public-url"},
		{"a certificate without a key", "", []string{"--tls-cert", cert}, "go together"},
		{"a key for a certificate", "", []string{"--tls-cert", key, "--tls-key", key}, "TLS certificate"},
		{"no such certificate", "", []string{"--tls-cert", cert + "-none", "--tls-key", key}, "TLS certificate"},
		{"a folder for everybody", "", []string{"--auth-token-file", tokenFile(t, "alice "+aliceToken), "--allow-dir", dir}, "names no caller"},
		{"a folder for everybody beside the single token", "KUBBI_MCP_TOKEN=" + aliceToken, []string{"--allow-dir", dir}, "(names: default)"},
		{"a folder for nobody", "", []string{"--auth-token-file", tokenFile(t, "alice "+aliceToken), "--allow-dir", "carol=" + dir}, `no token has the name "carol"`},
		{"no folder for somebody", "", []string{"--auth-token-file", tokenFile(t, "alice "+aliceToken), "--allow-dir", "alice="}, "no folder after the name"},
		{"a folder's caller without tokens", "", []string{"--allow-dir", "alice=" + dir}, "without tokens callers have no names"},
		{"a file for a folder", "", []string{"--auth-token-file", tokenFile(t, "alice "+aliceToken), "--allow-dir", "alice=" + cert}, "is not a folder"},
		{"a body of nothing", "", []string{"--max-body", "10"}, "max-body"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := command(t.Context(), t, tt.args...)
			if tt.env != "" {
				cmd.Env = append(cmd.Env, tt.env)
			}
			out, err := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != 2 || !strings.Contains(string(out), tt.want) {
				t.Errorf("%v: %s", err, out)
			}
			for _, secret := range []string{aliceToken, bobToken, "short-secret", "kb_"} {
				if strings.Contains(string(out), secret) {
					t.Errorf("%s is told: %s", secret, out)
				}
			}
		})
	}
}
