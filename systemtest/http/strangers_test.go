package http

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/relay/relaytest"
)

// TestStrangersKeyIsNoToken has a stranger with a valid key of the same Kubbi API, and
// without a token, try to call the server and to use its folders.
func TestStrangersKeyIsNoToken(t *testing.T) {
	t.Parallel()
	relay := relaytest.New(t)
	keyOf := func(name string) string {
		key, err := relay.Local.CallerKey(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	hers, shared := t.TempDir(), t.TempDir()
	testkit.FileOfItsName(t, filepath.Join(hers, "a.txt"))
	testkit.FileOfItsName(t, filepath.Join(shared, "s.txt"))
	tokens := tokenFile(t, "alice "+aliceToken+" "+keyOf("alice"), "bob "+bobToken+" "+keyOf("bob"))
	args := []string{"--base-url", relay.URL, "--auth-token-file", tokens, "--allow-dir", "alice=" + hers, "--allow-dir", "alice=" + shared + ", bob=" + shared}
	strangers := headers("X-Kubbi-Api-Key", keyOf("stranger"))

	s := startHTTP(t, args...)
	for _, path := range []string{"/mcp", "/sse", "/message?sessionId=x", "/metrics"} {
		unauthorized(t, s, path, strangers)
	}
	open := startHTTP(t, append(args, "--allow-own-keys")...)
	unauthorized(t, open, "/mcp", nil)

	both := func(token, key string) http.Header {
		h := bearer(token)
		h.Set("X-Kubbi-Api-Key", key)
		return h
	}
	for name, tt := range map[string]struct {
		on     *httpServer
		header http.Header
		may    []string
	}{
		"alice":                              {s, bearer(aliceToken), []string{"a.txt", "s.txt"}},
		"alice, with a key of her own":       {s, both(aliceToken, keyOf("carol")), []string{"a.txt", "s.txt"}},
		"bob":                                {s, bearer(bobToken), []string{"s.txt"}},
		"bob, with the key of alice's token": {s, both(bobToken, keyOf("alice")), []string{"s.txt"}},
		"own keys allowed: alice":            {open, bearer(aliceToken), []string{"a.txt", "s.txt"}},
		"own keys allowed: a stranger":       {open, strangers, nil},
		"own keys allowed: the key of alice": {open, headers("X-Kubbi-Api-Key", keyOf("alice")), nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, transport := range []string{overHTTP, overSSE} {
				p := tt.on.connect(t, transport, tt.header)
				defer p.close()
				url := p.mustCall(t, "send", map[string]any{"content": "written"}).Field("claim_url")
				if got := p.mustCall(t, "claim", map[string]any{"claim_url": url, "save_to": "received"}); got.IsError == (tt.may != nil) {
					t.Errorf("%s, into received: %s", transport, got.Text())
				}
				for _, path := range []string{filepath.Join(hers, "a.txt"), filepath.Join(shared, "s.txt")} {
					may := slices.Contains(tt.may, filepath.Base(path))
					for tool, arguments := range map[string]map[string]any{
						"send":       {"path": path},
						"send_files": {"files": []any{map[string]any{"path": path}}},
						"claim":      {"claim_url": url, "save_to": filepath.Join(filepath.Dir(path), "of-"+strings.ReplaceAll(t.Name(), "/", "-")+transport)},
					} {
						got := p.mustCall(t, tool, arguments)
						if got.IsError == may {
							t.Errorf("%s, %s of %s: %s", transport, tool, path, got.Text())
						}
						if !may && strings.Contains(got.Text(), hers+",") {
							t.Errorf("%s, %s: the answer names alice's folder: %s", transport, tool, got.Text())
						}
					}
				}
			}
		})
	}
	for _, dir := range []string{hers, shared} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.Contains(e.Name(), "stranger") || strings.Contains(e.Name(), "the-key-of") || dir == hers && strings.Contains(e.Name(), "bob") {
				t.Errorf("%s was written into %s", e.Name(), dir)
			}
		}
	}
}

// TestFoldersWithoutTokens has several callers on this machine use a folder of a server
// without tokens.
func TestFoldersWithoutTokens(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	testkit.FileOfItsName(t, filepath.Join(dir, "a.txt"))
	s := startHTTP(t, "--allow-dir", dir)
	p := s.connect(t, overHTTP, nil)
	if got := p.mustCall(t, "send", map[string]any{"path": filepath.Join(dir, "a.txt")}); got.IsError {
		t.Errorf("send: %s", got.Text())
	}
}
