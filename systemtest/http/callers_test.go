package http

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/relay/relaytest"
)

const (
	aliceToken = "alice-0123456789abcdef-ALICE"
	bobToken   = "bob-fedcba9876543210-BOB"
)

// tokenFile writes a token file of lines.
func tokenFile(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func bearer(token string) http.Header { return headers("Authorization", "Bearer "+token) }

// TestCallersAreApart has two callers of one server, who share its embedded relay, try
// every operation on each other's kubbis.
func TestCallersAreApart(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{overHTTP, overSSE} {
		t.Run(transport, func(t *testing.T) {
			s := startHTTP(t, "--auth-token-file", tokenFile(t, "# who may call", "alice "+aliceToken, "", "bob "+bobToken))
			apart(t, s.connect(t, transport, bearer(aliceToken)), s.connect(t, transport, bearer(bobToken)))
			secretless(t, s, aliceToken, bobToken)
		})
	}
}

// TestCallersShareNoIdentity has several callers of one server: none of them opens what is
// sealed for the machine's key, which its only caller does.
func TestCallersShareNoIdentity(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key, stderr, err := testkit.Run(t, []string{"KUBBI_DATA_DIR=" + dir}, "identity")
	if err != nil {
		t.Fatalf("identity: %v: %s", err, stderr)
	}
	send := map[string]any{"content": "for the machine", "to": strings.TrimSpace(key)}
	for _, tt := range []struct {
		tokens []string
		opens  bool
	}{{[]string{"alice " + aliceToken, "bob " + bobToken}, false}, {[]string{"alice " + aliceToken}, true}} {
		s := startHTTP(t, "--data-dir", dir, "--auth-token-file", tokenFile(t, tt.tokens...))
		alice := s.connect(t, overHTTP, bearer(aliceToken))
		sent := alice.mustCall(t, "send", send)
		got := alice.mustCall(t, "claim", map[string]any{"claim_url": sent.Field("claim_url")})
		if sent.IsError || got.IsError == tt.opens || !tt.opens && !strings.Contains(got.Text(), "nothing was claimed") {
			t.Errorf("%d callers: %s, %s", len(tt.tokens), sent.Text(), got.Text())
		}
		prompt, err := alice.ask(t.Context(), "prompts/get", map[string]any{"name": "handoff"})
		if err != nil || strings.Contains(string(prompt), strings.TrimSpace(key)) != tt.opens {
			t.Errorf("%d callers: the handoff is %s, %v", len(tt.tokens), prompt, err)
		}
		s.stop(t)
	}
}

// TestOwnKeys has callers send API keys of their own, with and without a token, to a
// server with --allow-own-keys.
func TestOwnKeys(t *testing.T) {
	t.Parallel()
	relay := relaytest.New(t)
	var keys []string
	for _, name := range []string{"alice", "bob", "carol", "dave"} {
		key, err := relay.Local.CallerKey(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	s := startHTTP(t, "--allow-own-keys", "--base-url", relay.URL, "--auth-token-file",
		tokenFile(t, "alice "+aliceToken+" "+keys[0], "bob "+bobToken+" "+keys[1]))
	carol, dave := headers("X-Kubbi-Api-Key", keys[2]), headers("X-Kubbi-Api-Key", keys[3])
	both := headers("X-Kubbi-Api-Key", keys[3], "Authorization", "Bearer "+aliceToken)
	for name, pair := range map[string][2]http.Header{
		"keys of the token file":     {bearer(aliceToken), bearer(bobToken)},
		"a token and a key":          {bearer(aliceToken), carol},
		"two keys":                   {carol, dave},
		"a key in a token's place":   {bearer(aliceToken), both},
		"a key beside another token": {both, bearer(bobToken)},
	} {
		t.Run(name, func(t *testing.T) {
			for _, transport := range []string{overHTTP, overSSE} {
				apart(t, s.connect(t, transport, pair[0]), s.connect(t, transport, pair[1]))
			}
		})
	}
	t.Run("one key by two ways", func(t *testing.T) {
		id := s.connect(t, overHTTP, both).mustCall(t, "send", map[string]any{"content": "dave's"}).Field("id")
		if got := s.connect(t, overHTTP, dave).mustCall(t, "get", map[string]any{"id": id}); got.IsError {
			t.Errorf("get: %s", got.Text())
		}
		if got := s.connect(t, overHTTP, bearer(aliceToken)).mustCall(t, "get", map[string]any{"id": id}); !got.IsError {
			t.Error("alice sees what was sent under the key that was beside her token")
		}
	})
	unknown := "kb_" + strings.Repeat("x", 43)
	for name, header := range map[string]http.Header{
		"unknown":               headers("X-Kubbi-Api-Key", unknown),
		"unknown, with a token": headers("X-Kubbi-Api-Key", unknown, "Authorization", "Bearer "+aliceToken),
		"known, wrong token":    headers("X-Kubbi-Api-Key", keys[2], "Authorization", "Bearer wrong-wrong-wrong-wrong"),
		"empty":                 headers("X-Kubbi-Api-Key", "", "Authorization", "Bearer "+aliceToken),
		"two":                   headers("X-Kubbi-Api-Key", keys[2], "X-Kubbi-Api-Key", keys[3]),
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{"/mcp", "/sse", "/message?sessionId=x", "/metrics"} {
				unauthorized(t, s, path, header)
			}
		})
	}
	secretless(t, s, append(keys, aliceToken, bobToken, unknown)...)
}

// secretless checks that a server's log holds no secrets.
func secretless(t *testing.T, s *httpServer, secrets ...string) {
	t.Helper()
	log := s.log.String()
	if !strings.Contains(log, `"level":"DEBUG"`) && !strings.Contains(log, `"level":"INFO"`) {
		t.Errorf("the log says nothing:\n%s", log)
	}
	for _, secret := range secrets {
		if strings.Contains(log, secret) || strings.Contains(log, secret[:12]) {
			t.Errorf("the log tells %.12s...", secret)
		}
	}
}

// apart checks that one caller can't reach the other's kubbis, and that claim URLs work
// for both.
func apart(t *testing.T, alice, bob *peer) {
	t.Helper()
	const news = "notifications/resources/updated"
	for _, p := range []*peer{alice, bob} {
		if p.transport == overHTTP {
			if err := p.listen(t.Context(), "/mcp"); err != nil {
				t.Fatal(err)
			}
		}
	}
	const content = "of alice alone, but for who has the claim URL"
	sent := alice.mustCall(t, "send", map[string]any{"content": content, "max_retrievals": 2, "metadata": map[string]any{"label": "alice's label"}})
	pack := alice.mustCall(t, "send_files", map[string]any{"files": []any{map[string]any{"name": "a.txt", "content": "file of alice", "content_type": "text/plain"}}})
	if sent.IsError || pack.IsError {
		t.Fatalf("send: %s%s", sent.Text(), pack.Text())
	}
	bobs := bob.mustCall(t, "send", map[string]any{"content": "of bob"}).Field("id")
	for _, k := range []*testkit.ToolResult{sent, pack} {
		id := k.Field("id")
		for _, tool := range []string{"get", "delete"} {
			res := bob.mustCall(t, tool, map[string]any{"id": id})
			never := bob.mustCall(t, tool, map[string]any{"id": "00000000-0000-4000-8000-000000000000"})
			if !res.IsError || res.Text() != never.Text() {
				t.Errorf("%s of another's kubbi says %q, of none %q", tool, res.Text(), never.Text())
			}
		}
		if _, err := bob.ask(t.Context(), "resources/read", map[string]any{"uri": "kubbi://" + id}); err == nil {
			t.Error("resources/read shows another's kubbi")
		}
		if _, err := bob.ask(t.Context(), "resources/subscribe", map[string]any{"uri": "kubbi://" + id}); err == nil {
			t.Error("resources/subscribe takes another's kubbi")
		}
		if got := alice.mustCall(t, "get", map[string]any{"id": id}); got.Field("status") != "active" {
			t.Errorf("alice's kubbi is %q: %s", got.Field("status"), got.Text())
		}
		if _, err := alice.ask(t.Context(), "resources/read", map[string]any{"uri": "kubbi://" + id}); err != nil {
			t.Errorf("alice's resources/read: %v", err)
		}
	}
	for method, params := range map[string]any{
		"tools/call":     map[string]any{"name": "list", "arguments": map[string]any{"limit": 100}},
		"resources/list": map[string]any{},
		"completion/complete": map[string]any{"ref": map[string]any{"type": "ref/resource", "uri": "kubbi://{id}"},
			"argument": map[string]any{"name": "id", "value": ""}},
	} {
		of := func(p *peer) string {
			b, err := p.ask(t.Context(), method, params)
			if err != nil {
				t.Errorf("%s: %v", method, err)
			}
			return string(b)
		}
		hers, his := of(alice), of(bob)
		for _, k := range []*testkit.ToolResult{sent, pack} {
			if !strings.Contains(hers, k.Field("id")) {
				t.Errorf("%s does not show alice's kubbi to her: %s", method, hers)
			}
			if strings.Contains(his, k.Field("id")) {
				t.Errorf("%s shows alice's kubbi to bob", method)
			}
		}
		if !strings.Contains(his, bobs) || strings.Contains(hers, bobs) || strings.Contains(his, "alice's label") {
			t.Errorf("%s: to alice %s\nto bob %s", method, hers, his)
		}
	}
	foreignSession(t, alice, bob)

	// A claim URL works for everybody who has it. Only its sender gets receipts.
	if _, err := alice.ask(t.Context(), "resources/subscribe", map[string]any{"uri": "kubbi://" + sent.Field("id")}); err != nil {
		t.Errorf("alice's subscription: %v", err)
	}
	url := sent.Field("claim_url")
	if res := bob.mustCall(t, "inspect", map[string]any{"claim_url": url}); res.Field("status") != "active" {
		t.Errorf("inspect: %s", res.Text())
	}
	if res := bob.mustCall(t, "claim", map[string]any{"claim_url": url}); payload(res) != content {
		t.Errorf("claim: %s", res.Text())
	}
	if got := alice.mustCall(t, "get", map[string]any{"id": sent.Field("id")}); got.Structured["retrieval_count"] != 1.0 {
		t.Errorf("after bob's claim: %s", got.Text())
	}
	testkit.Await(t, "word of the claim", func() bool { return alice.heard(news) > 0 })
	if bob.heard(news) > 0 {
		t.Error("bob is told of alice's kubbi")
	}
	if res := alice.mustCall(t, "delete", map[string]any{"id": sent.Field("id")}); res.IsError {
		t.Errorf("alice's delete: %s", res.Text())
	}
}

// foreignSession has one caller use the other's session, and a session of another
// transport.
func foreignSession(t *testing.T, alice, bob *peer) {
	t.Helper()
	ping := []byte(`{"jsonrpc":"2.0","id":1,"method":"ping"}`)
	type attempt struct{ method, path, session string }
	attempts := []attempt{
		{http.MethodPost, "/mcp", alice.session}, {http.MethodGet, "/mcp", alice.session}, {http.MethodDelete, "/mcp", alice.session},
		{http.MethodPost, "/mcp", alice.session + "/1"}, {http.MethodGet, "/mcp", alice.session + "/1"},
	}
	if alice.transport == overSSE {
		_, id, _ := strings.Cut(alice.endpoint, "sessionId=")
		attempts = []attempt{
			{http.MethodPost, alice.endpoint, ""}, {http.MethodPost, "/mcp", id},
			{http.MethodGet, "/mcp", id}, {http.MethodDelete, "/mcp", id},
		}
	}
	for _, a := range attempts {
		p := newPeer(bob.url, overHTTP, bob.header, bob.hc)
		p.session = a.session
		body := ping
		if a.method != http.MethodPost {
			body = nil
		}
		_, err := p.do(t.Context(), a.method, a.path, body)
		var status *statusError
		if !errors.As(err, &status) || status.status != http.StatusNotFound || !json.Valid([]byte(status.body)) {
			t.Errorf("bob's %s %s with alice's session: %v", a.method, a.path, err)
		}
	}
	if _, err := alice.ask(t.Context(), "ping", nil); err != nil {
		t.Errorf("alice's session: %v", err)
	}
}
