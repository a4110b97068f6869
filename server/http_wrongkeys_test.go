package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"kubbi-mcp/kubbi"
)

// TestHTTPWrongKeysAreLimited sends many wrong keys, in sequence and in parallel: few of
// them reach the Kubbi API, and known callers and callers with a token are served.
func TestHTTPWrongKeysAreLimited(t *testing.T) {
	const wrong = `{"error":"unauthorized","message":"no"}`
	var tried atomic.Int64
	revoked := &atomic.Bool{}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		key := r.Header.Get("Authorization")
		if strings.Contains(key, "wrong") || strings.HasSuffix(key, "kb_known") && revoked.Load() {
			tried.Add(1)
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, wrong)
			return
		}
		_, _ = io.WriteString(w, `{"kubbis":[],"pagination":{"page":1,"limit":1,"total":0,"total_pages":0}}`)
	}))
	defer api.Close()
	client, err := kubbi.NewClient("", kubbi.WithBaseURL(api.URL))
	if err != nil {
		t.Fatal(err)
	}
	token, err := NewToken("alice", "alice-0123456789abcdef", "kb_alices")
	if err != nil {
		t.Fatal(err)
	}
	h, err := NewHTTP(HTTPConfig{OwnKeys: true, Tokens: []Token{token}, Connect: func(_ context.Context, _, key string) (*kubbi.Client, error) { return client.WithAPIKey(key) }})
	if err != nil {
		t.Fatal(err)
	}
	defer h.callers.close()
	srv := httptest.NewServer(h)
	defer srv.Close()
	initialized := func(key, token string) *http.Response {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL+"/mcp", strings.NewReader(initialize))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if key != "" {
			req.Header.Set(headerAPIKey, key)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	if got := initialized("kb_known", ""); got.StatusCode != http.StatusOK {
		t.Fatalf("a right key: %s", got.Status)
	}
	statuses := map[int]int{}
	for i := range 10 {
		statuses[initialized(fmt.Sprintf("kb_wrong_%d", i), "").StatusCode]++
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range 60 {
		all.Go(func() {
			status := initialized(fmt.Sprintf("kb_wrong_too_%d", i), "").StatusCode
			mu.Lock()
			defer mu.Unlock()
			statuses[status]++
		})
	}
	all.Wait()
	for i := range 20 {
		statuses[initialized(fmt.Sprintf("kb_wrong_again_%d", i), "").StatusCode]++
	}
	if tried.Load() != maxWrongKeys || statuses[http.StatusUnauthorized] != maxWrongKeys || statuses[http.StatusTooManyRequests] == 0 || statuses[http.StatusOK] > 0 {
		t.Errorf("%d wrong keys were tried; statuses %v", tried.Load(), statuses)
	}
	late := initialized("kb_wrong_late", "")
	if wait := late.Header.Get("Retry-After"); late.StatusCode != http.StatusTooManyRequests || wait == "" || wait == "0" || wait == "1" {
		t.Errorf("%s, Retry-After %q", late.Status, wait)
	}
	for what, resp := range map[string]*http.Response{
		"a key that is known":               initialized("kb_known", ""),
		"a token":                           initialized("", "alice-0123456789abcdef"),
		"a token and a key of the caller's": initialized("kb_new", "alice-0123456789abcdef"),
	} {
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", what, resp.Status)
		}
	}
	// A known key that is revoked is checked once in a minute only.
	before := tried.Load()
	revoked.Store(true)
	for _, c := range h.callers.all() {
		c.mu.Lock()
		c.validAt = c.validAt.Add(-2 * keyCheckTTL)
		c.mu.Unlock()
	}
	for range 50 {
		if got := initialized("kb_known", ""); got.StatusCode != http.StatusUnauthorized {
			t.Fatalf("a revoked key: %s", got.Status)
		}
	}
	if got := tried.Load() - before; got != 1 {
		t.Errorf("a revoked key was tried %d times", got)
	}
}
