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
	"time"

	"kubbi-mcp/kubbi"
)

// TestHTTPKeyIsCheckedAgain checks that a caller's own key is checked again while unknown
// keys use all checks: it is checked once, and the caller's requests don't wait.
func TestHTTPKeyIsCheckedAgain(t *testing.T) {
	var strange, known atomic.Int64
	let := make(chan struct{})
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.Header.Get("Authorization"), "kb_known") {
			known.Add(1)
		} else {
			strange.Add(1)
			<-let
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"kubbis":[],"pagination":{"page":1,"limit":1,"total":0,"total_pages":0}}`)
	}))
	defer api.Close()
	client, err := kubbi.NewClient("", kubbi.WithBaseURL(api.URL))
	if err != nil {
		t.Fatal(err)
	}
	h, err := NewHTTP(HTTPConfig{Connect: func(_ context.Context, _, key string) (*kubbi.Client, error) { return client.WithAPIKey(key) }})
	if err != nil {
		t.Fatal(err)
	}
	defer h.callers.close()
	srv := httptest.NewServer(h)
	defer srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	initialized := func(key string) (status int) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL+"/mcp", strings.NewReader(initialize))
		if err != nil {
			t.Error(err)
			return 0
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set(headerAPIKey, key)
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Error(err)
			return 0
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := initialized("kb_known"); got != http.StatusOK || known.Load() != 1 {
		t.Fatalf("status %d, the key was tried %d times", got, known.Load())
	}
	var all sync.WaitGroup
	for i := range maxKeyChecks {
		all.Go(func() { initialized(fmt.Sprintf("kb_stranger_%d", i)) })
	}
	until(t, func() bool { return strange.Load() == maxKeyChecks })
	if got := initialized("kb_stranger"); got != http.StatusServiceUnavailable {
		t.Errorf("one stranger more: %d", got)
	}
	for _, c := range h.callers.all() {
		c.mu.Lock()
		c.validAt = time.Now().Add(-2 * keyCheckTTL)
		c.mu.Unlock()
	}
	var mine sync.WaitGroup
	for range 2 * maxKeyChecks {
		mine.Go(func() {
			if got := initialized("kb_known"); got != http.StatusOK {
				t.Errorf("status %d", got)
			}
		})
	}
	mine.Wait()
	if got := known.Load(); got != 2 {
		t.Errorf("the key was tried %d times", got)
	}
	close(let)
	all.Wait()
}
