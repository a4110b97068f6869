package kubbi

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// With "*", a private address is refused before anything reaches it, whether it is in the
// claim URL or a name resolves to it, and whatever proxy is set.
func TestAnyOriginIsGuarded(t *testing.T) {
	var conns atomic.Int64
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.StartTLS()
	defer srv.Close()
	t.Setenv("HTTPS_PROXY", srv.URL) // a proxy would resolve the name out of our sight
	c := newTest(t, "https://base.example", WithAllowedOrigins(AnyOrigin))
	port := srv.URL[strings.LastIndex(srv.URL, ":"):]
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]"} {
		origin := "https://" + host + port
		_, err := c.Inspect(context.Background(), origin+"/r/"+testToken)
		wantOnly(t, err, ErrOrigin)
		if !strings.Contains(err.Error(), "private or reserved address") || !strings.Contains(err.Error(), "--allow-origin https://") {
			t.Errorf("%s: %v", host, err)
		}
		wantNone(t, "error", err.Error(), testToken)
	}
	if n := conns.Load(); n != 0 {
		t.Errorf("%d connections were made, want 0", n)
	}
	// Named, the same origin is contacted (and its certificate is not trusted).
	named := newTest(t, "https://base.example", WithAllowedOrigins(AnyOrigin, srv.URL), WithRetries(0))
	_, err := named.Inspect(context.Background(), srv.URL+"/r/"+testToken)
	wantOnly(t, err, ErrNetwork)
	if conns.Load() == 0 {
		t.Error("a named origin was not contacted")
	}
}

// A replaced transport can't check addresses, so it is refused together with "*". A
// middleware keeps the checks.
func TestAnyOriginNeedsOwnTransport(t *testing.T) {
	if _, err := NewClient("", WithTransport(http.DefaultTransport), WithAllowedOrigins(AnyOrigin)); err == nil || !strings.Contains(err.Error(), "WithMiddleware") {
		t.Errorf("any origin: %v", err)
	}
	var passed atomic.Int64
	c := newTest(t, "https://base.example", WithAllowedOrigins(AnyOrigin), WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
		return roundTripFunc(func(r *http.Request) (*http.Response, error) {
			passed.Add(1)
			return next.RoundTrip(r)
		})
	}))
	_, err := c.Inspect(context.Background(), "https://127.0.0.1:9/r/"+testToken)
	wantOnly(t, err, ErrOrigin)
	if passed.Load() != 1 {
		t.Errorf("the middleware saw %d requests, want 1", passed.Load())
	}
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A round tripper's own error is shown, since it may say what to do, but without secrets. It
// stays the cause if it holds none.
func TestRoundTripperError(t *testing.T) {
	own := errors.New(`open store "/data/kubbi.db": made by a newer version`)
	fail := func(err error) Option {
		return WithMiddleware(func(http.RoundTripper) http.RoundTripper {
			return roundTripFunc(func(*http.Request) (*http.Response, error) { return nil, err })
		})
	}
	_, err := newTest(t, "http://127.0.0.1:7117", fail(own)).Get(context.Background(), testID)
	if !errors.Is(err, own) || !strings.Contains(err.Error(), own.Error()) || !errors.Is(err, ErrNetwork) {
		t.Errorf("error is %v", err)
	}
	quoting := errors.New("can't reach http://127.0.0.1:7117/r/" + testToken)
	_, err = newTest(t, "http://127.0.0.1:7117", fail(quoting)).Inspect(context.Background(), testToken)
	if errors.Is(err, quoting) || !strings.Contains(err.Error(), "/r/[redacted]") {
		t.Errorf("error is %v", err)
	}
}

// A transport that still reads after it has returned does not see the caller's content.
func TestContentIsReturned(t *testing.T) {
	var body io.ReadCloser
	c := newTest(t, "http://127.0.0.1:7117", WithRetries(0), WithTransport(roundTripFunc(func(r *http.Request) (*http.Response, error) {
		body = r.Body
		return nil, errors.New("gone")
	})))
	if _, err := c.Send(context.Background(), SendParams{Content: "hello"}); err == nil {
		t.Fatal("no error")
	}
	if n, err := body.Read(make([]byte, 100)); n != 0 || err == nil {
		t.Errorf("read %d bytes, %v, after the call", n, err)
	}
}
