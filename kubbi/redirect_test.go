package kubbi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func TestRedirects(t *testing.T) {
	var other atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { other.Add(1) }))
	defer elsewhere.Close()
	var s seen
	c, srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := s.add(r)
		to, _ := strings.CutPrefix(r.URL.Path, "/r/")
		to, _, _ = strings.Cut(to, "/")
		switch {
		case strings.HasPrefix(to, "same-origin") && n < 4:
			http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
		case strings.HasPrefix(to, "endless"):
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		case strings.HasPrefix(to, "other-origin"):
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusMovedPermanently)
		case strings.HasPrefix(to, "other-scheme"):
			http.Redirect(w, r, "https://"+r.Host+r.URL.Path, http.StatusPermanentRedirect)
		case strings.HasPrefix(to, "user"):
			http.Redirect(w, r, "http://me@"+r.Host+r.URL.Path, http.StatusPermanentRedirect)
		case strings.HasPrefix(to, "nowhere"):
			w.WriteHeader(http.StatusFound)
		default:
			answer(w, 200, okInspect)
		}
	})
	_ = srv
	for _, tt := range []struct {
		token string
		is    error
		ok    bool
		reqs  int
	}{
		{"same-origin-______", nil, true, 4},
		{"endless-__________", nil, false, 4},
		{"other-origin-_____", ErrOrigin, false, 1},
		{"other-scheme-_____", ErrOrigin, false, 1},
		{"user-_____________", ErrOrigin, false, 1},
		{"nowhere-__________", nil, false, 1},
	} {
		s.mu.Lock()
		s.reqs = nil
		s.mu.Unlock()
		_, err := c.Inspect(context.Background(), tt.token)
		if (err == nil) != tt.ok || err != nil && asError(t, err).Status < 300 {
			t.Errorf("%s: %v", tt.token, err)
		}
		wantOnly(t, err, tt.is)
		if n := len(s.all()); n != tt.reqs {
			t.Errorf("%s: %d requests, want %d", tt.token, n, tt.reqs)
		}
		if err != nil {
			wantNone(t, "error", err.Error(), tt.token)
		}
		// Nothing but a GET follows any.
		s.mu.Lock()
		s.reqs = nil
		s.mu.Unlock()
		if tt.ok {
			continue
		}
		if _, err := c.Claim(context.Background(), tt.token, looked()); err == nil || len(s.all()) != 1 {
			t.Errorf("claim of %s: %v after %d requests", tt.token, err, len(s.all()))
		}
	}
	if n := other.Load(); n != 0 {
		t.Errorf("another origin got %d requests", n)
	}
}
