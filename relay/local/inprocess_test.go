package local_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/local"
)

func request(t *testing.T, method, url, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestOnlyTheOriginIsServed(t *testing.T) {
	r := newRelay(t, local.Config{Origin: "http://localhost:7117"})
	for url, ours := range map[string]bool{
		"http://localhost:7117/health": true, "http://LOCALHOST:7117/health": true,
		"http://localhost/health": false, "http://localhost:7118/health": false, "https://localhost:7117/health": false,
		"http://127.0.0.1:7117/health": false, "https://api.kubbi.ai/health": false, "http://localhost.test:7117/health": false,
	} {
		resp, err := r.RoundTripper(elsewhere{}).RoundTrip(request(t, "GET", url, ""))
		if errors.Is(err, errElsewhere) == ours {
			t.Errorf("%s: %v", url, err)
		}
		if err == nil {
			resp.Body.Close()
		}
	}
}

// TestSameOverHTTP sends requests in-process and over HTTP. The answers must be the same.
func TestSameOverHTTP(t *testing.T) {
	r := newRelay(t, local.Config{Now: func() time.Time { return time.Unix(1_800_000_000, 0) }})
	key, err := r.APIKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := mustCreate(t, r, "x")
	srv := httptest.NewServer(r.Handler())
	defer srv.Close()
	for _, tc := range [][3]string{
		{"GET", "/health", ""}, {"GET", "/api/v1/kubbis", ""}, {"GET", "/api/v1/kubbis?limit=0", ""}, {"GET", api.PathKubbi + c.ID, ""},
		{"POST", "/api/v1/kubbis", "{"}, {"GET", "/r/" + c.ClaimToken, ""}, {"HEAD", "/r/" + c.ClaimToken, ""},
		{"GET", "/r/%41", ""}, {"GET", "/nowhere", ""}, {"PUT", "/health", ""}, {"GET", "/api/v2", ""}, {"GET", "/r/a/../b", ""},
	} {
		in, err := client(r).Transport.RoundTrip(request(t, tc[0], origin+tc[1], tc[2]))
		if err != nil {
			t.Fatal(err)
		}
		req := request(t, tc[0], srv.URL+tc[1], tc[2])
		req.Header.Set("Authorization", "Bearer "+key)
		out, err := srv.Client().Transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		a, err := io.ReadAll(in.Body)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(out.Body)
		if err != nil {
			t.Fatal(err)
		}
		in.Body.Close()
		out.Body.Close()
		if in.StatusCode != out.StatusCode || in.Status != out.Status || !bytes.Equal(a, b) || in.ContentLength != out.ContentLength {
			t.Errorf("%v: %s %d %s in-process, %s %d %s over HTTP", tc, in.Status, in.ContentLength, a, out.Status, out.ContentLength, b)
		}
		for name := range out.Header {
			if name != "Date" && in.Header.Get(name) != out.Header.Get(name) {
				t.Errorf("%v: %s is %q in-process, %q over HTTP", tc, name, in.Header.Get(name), out.Header.Get(name))
			}
		}
	}
}

func TestOwnKeyOnlyWhereNone(t *testing.T) {
	r := newRelay(t, local.Config{})
	req := request(t, "GET", origin+api.PathKubbis, "")
	resp, err := client(r).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 || req.Header.Get("Authorization") != "" {
		t.Errorf("%s; the caller's request was changed: %v", resp.Status, req.Header)
	}
	req.Header.Set("Authorization", "Bearer kb_other")
	if resp, err = client(r).Do(req); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 401 {
		t.Errorf("another key: %s", resp.Status)
	}
}

func TestUnknownLengthInProcess(t *testing.T) {
	r := newRelay(t, local.Config{})
	body := `{"content":"x","content_type":"text/plain","ttl_seconds":60}`
	req, err := http.NewRequestWithContext(t.Context(), "POST", origin+api.PathKubbis, struct{ io.Reader }{strings.NewReader(body)})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client(r).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 201 {
		t.Error(resp.Status)
	}
}

// claimLarge makes a large kubbi and begins to read its claim.
func claimLarge(t *testing.T, r *local.Relay, ctx context.Context, size int) *http.Response {
	t.Helper()
	c := mustCreate(t, r, strings.Repeat("x", size))
	req, err := http.NewRequestWithContext(ctx, "POST", origin+"/r/"+c.ClaimToken+"/claim", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client(r).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestStreamIsRead(t *testing.T) {
	r := newRelay(t, local.Config{})
	resp := claimLarge(t, r, t.Context(), 5<<20)
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil || n < 5<<20 {
		t.Errorf("%d bytes, %v", n, err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
}

// The next three tests do not read a stream to its end. TestMain's leak check judges them,
// and Close, which waits for the handler.
func TestStreamIsClosed(t *testing.T) {
	r := newRelay(t, local.Config{})
	resp := claimLarge(t, r, t.Context(), 5<<20)
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	if _, err := resp.Body.Read(make([]byte, 1)); err == nil {
		t.Error("read after close")
	}
}

func TestStreamIsCancelled(t *testing.T) {
	r := newRelay(t, local.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	resp := claimLarge(t, r, ctx, 5<<20)
	defer resp.Body.Close()
	cancel()
	if _, err := io.Copy(io.Discard, resp.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled stream ends with %v", err)
	}
}

func TestStreamEndsWithClose(t *testing.T) {
	r := newRelay(t, local.Config{})
	resp := claimLarge(t, r, t.Context(), 5<<20)
	defer resp.Body.Close()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Error("a stream that was cut looks whole")
	}
}

func TestCancelledBeforeTheAnswer(t *testing.T) {
	r := newRelay(t, local.Config{})
	if err := r.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	body := &stuck{ctx: ctx, reading: make(chan struct{}), closed: make(chan struct{})}
	req, err := http.NewRequestWithContext(ctx, "POST", origin+api.PathKubbis, body)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-body.reading
		cancel()
	}()
	if _, err := client(r).Transport.RoundTrip(req); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled request: %v", err)
	}
	<-body.closed
}

// stuck is a body that never ends by itself.
type stuck struct {
	ctx             context.Context
	reading, closed chan struct{}
}

func (s *stuck) Read([]byte) (int, error) {
	close(s.reading)
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

func (s *stuck) Close() error { close(s.closed); return nil }

// tired is a random source that panics after a while.
type tired struct{ left atomic.Int64 }

func (r *tired) Read(b []byte) (int, error) {
	if r.left.Add(-1) < 0 {
		panic("no more")
	}
	return rand.Read(b)
}

func TestPanicInProcess(t *testing.T) {
	random := &tired{}
	random.left.Store(100)
	r := newRelay(t, local.Config{Rand: random})
	mustCreate(t, r, "x")
	random.left.Store(0)
	for range 2 {
		resp, err := client(r).Do(request(t, "POST", origin+api.PathKubbis, `{"content":"x","content_type":"text/plain","ttl_seconds":60}`))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 500 {
			t.Error(resp.Status)
		}
	}
}

// TestMemoryStaysFlat claims the largest content and measures how far the heap grows
// while it is read.
func TestMemoryStaysFlat(t *testing.T) {
	testkit.OnlyPlain(t, "memory is measured, and the race detector takes its own")
	r := newRelay(t, local.Config{})
	size := int(api.DefaultLimits().ContentBytes)
	c := mustCreate(t, r, strings.Repeat("x", size))
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	resp, err := client(r).Do(request(t, "POST", origin+"/r/"+c.ClaimToken+"/claim", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	peak, buf, total := uint64(0), make([]byte, 1<<20), 0
	for {
		n, err := io.ReadFull(resp.Body, buf)
		total += n
		if h := heap(); h > before+peak {
			peak = h - before
		}
		if err != nil {
			break
		}
	}
	t.Logf("%d bytes read, heap grew by at most %d", total, peak)
	// The store may hold the payload once; the relay adds a few pieces.
	if total < size || peak > uint64(size)+(4<<20) {
		t.Errorf("%d bytes read, heap grew by %d", total, peak)
	}
}
