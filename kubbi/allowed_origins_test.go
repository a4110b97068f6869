package kubbi

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func TestAllowedOrigins(t *testing.T) {
	tests := []struct {
		allowed, origin string
		guarded, ok     bool
	}{
		{"", "http://base.example", false, true},
		{"", "https://api.kubbi.ai", false, true},
		{"", "https://base.example", false, false}, // another scheme is another origin
		{"", "http://base.example:81", false, false},
		{"", "https://api.kubbi.ai:444", false, false},
		{"", "https://api.kubbi.ai.evil.example", false, false},
		{"", "https://evil-api.kubbi.ai", false, false},
		{"", "https://xn--pi-6kc.kubbi.ai", false, false},
		{"", "http://127.0.0.1:7117", false, false},
		{"HTTPS://Named.example:443/", "https://named.example", false, true},
		{"http://127.0.0.1:7117", "http://127.0.0.1:7117", false, true},
		{"http://127.0.0.1:7117", "http://localhost:7117", false, true}, // another name of the same
		{"http://127.0.0.1:7117", "http://[::1]:7117", false, true},
		{"http://localhost", "http://127.0.0.1:80", false, true},
		{"http://127.0.0.1:7117", "http://localhost:7118", false, false},
		{"http://127.0.0.1:7117", "https://localhost:7117", false, false},
		{"https://127.0.0.1:7117", "https://localhost:7117", false, false},
		{"http://127.0.0.1:7117", "http://127.0.0.2:7117", false, false},
		{"*", "https://any.example", true, true},
		{"*", "https://api.kubbi.ai", false, true},
		{"*", "http://base.example", false, true},
		{"*", "http://any.example", false, false},
		{"*", "http://127.0.0.1:7117", false, false},
	}
	for _, tt := range tests {
		opts := []Option{WithBaseURL("http://base.example")}
		if tt.allowed != "" {
			opts = append(opts, WithAllowedOrigins(tt.allowed))
		}
		c, err := NewClient("", opts...)
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.target(tt.origin + "/r/" + testToken)
		if (err == nil) != tt.ok || r.guarded != tt.guarded {
			t.Errorf("allowed %q: %s: guarded %v, %v; want %v, ok %v", tt.allowed, tt.origin, r.guarded, err, tt.guarded, tt.ok)
		}
		if err != nil {
			if !errors.Is(err, ErrOrigin) || !strings.Contains(err.Error(), tt.origin+" ") ||
				!strings.Contains(err.Error(), "--allow-origin "+tt.origin) || !strings.Contains(err.Error(), "KUBBI_ALLOW_ORIGINS") {
				t.Errorf("error does not name origin and flag: %v", err)
			}
			wantNone(t, "error", err.Error(), testToken)
		}
	}
}

// A claim URL without a scheme, or with another name of this machine, leads to the only
// allowed origin that it can mean.
func TestResolvedOrigin(t *testing.T) {
	for _, tt := range []struct{ allowed, in, origin string }{
		{"http://relay.lan:8080", "relay.lan:8080/r/" + testToken, "http://relay.lan:8080"},
		{"https://relay.lan:8080", "relay.lan:8080/r/" + testToken, "https://relay.lan:8080"},
		{"http://relay.lan:8080", "https://relay.lan:8080/r/" + testToken, ""},
		{"http://relay.lan:8080", "evil.lan:8080/r/" + testToken, ""},
		{"http://127.0.0.1:7117", "localhost:7117/r/" + testToken, "http://127.0.0.1:7117"},
		{"http://127.0.0.1:7117", "http://LOCALHOST:7117/r/" + testToken, "http://127.0.0.1:7117"},
		{"http://127.0.0.1:7117", "[::1]:7117/r/" + testToken, "http://127.0.0.1:7117"},
		{"http://127.0.0.1:7117", "localhost.evil.example:7117/r/" + testToken, ""},
		{"http://127.0.0.1:7117", "localhost:80/r/" + testToken, ""},
	} {
		c, err := NewClient("", WithBaseURL("https://base.example"), WithAllowedOrigins(tt.allowed))
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.target(tt.in)
		if tt.origin == "" && !errors.Is(err, ErrOrigin) || tt.origin != "" && (err != nil || r.origin.String() != tt.origin) {
			t.Errorf("allowed %s, %q leads to %q, %v; want %q", tt.allowed, tt.in, r.origin, err, tt.origin)
		}
	}
}

// No connection is made to a refused origin.
func TestRefusedBeforeConnection(t *testing.T) {
	var conns atomic.Int64
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	c := newTest(t, "https://base.example")
	ctx := context.Background()
	for _, u := range []string{srv.URL, strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)} {
		if _, err := c.Inspect(ctx, u+"/r/"+testToken); !errors.Is(err, ErrOrigin) {
			t.Errorf("Inspect(%s): %v, want ErrOrigin", u, err)
		}
		if _, err := c.Claim(ctx, u+"/r/"+testToken); !errors.Is(err, ErrOrigin) {
			t.Errorf("Claim(%s): %v, want ErrOrigin", u, err)
		}
	}
	if n := conns.Load(); n != 0 {
		t.Errorf("%d connections were made, want 0", n)
	}
	// The counter counts.
	if _, err := newTest(t, srv.URL, WithRetries(0)).Inspect(ctx, testToken); err == nil || conns.Load() == 0 {
		t.Errorf("an allowed origin: %v after %d connections, want a 404 after one", err, conns.Load())
	}
}
