package kubbi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kubbi-mcp/kubbi/api"
)

// failing answers the first n requests with f, and the others as they should be.
func failing(s *seen, n int, f http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.add(r) <= n {
			f(w, r)
			return
		}
		switch {
		case r.Method == http.MethodDelete:
			answer(w, 200, api.DeleteResponse{ID: testID, Status: api.StatusDeleted})
		case r.URL.Path == api.PathKubbis && r.Method == http.MethodPost:
			answer(w, 201, okSent)
		case r.URL.Path == api.PathKubbis:
			answer(w, 200, api.ListResponse{Kubbis: []api.Kubbi{okKubbi}, Pagination: api.Pagination{Page: 1, TotalPages: 1, Total: 1}})
		case strings.HasSuffix(r.URL.Path, api.SuffixClaim):
			answer(w, 200, okClaim)
		case strings.HasSuffix(r.URL.Path, api.SuffixInspect):
			answer(w, 200, okInspect)
		default:
			answer(w, 200, okKubbi)
		}
	}
}

// failures are the failures that are worth another attempt.
func failures() map[string]http.HandlerFunc {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	return map[string]http.HandlerFunc{
		"502":            status(502),
		"503":            func(w http.ResponseWriter, _ *http.Request) { refuse(w, api.CodeUnavailable, "busy") },
		"504":            status(504),
		"no answer":      func(http.ResponseWriter, *http.Request) { cut() },
		"cut in headers": hijack("HTTP/1.1 200 OK\r\nContent-Le"),
		"cut body":       hijack("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"id\":"),
		"cut chunk":      hijack("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{\"id\":"),
		"cut unframed":   hijack("HTTP/1.0 200 OK\r\n\r\n{\"id\":"),
	}
}

func hijack(raw string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		conn.Write([]byte(raw))
	}
}

// calls are all calls of a client.
func calls(c *Client) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Send": func(ctx context.Context) error { _, err := c.Send(ctx, SendParams{Content: "hello"}); return err },
		"SendFiles": func(ctx context.Context) error {
			_, err := c.SendFiles(ctx, SendFilesParams{Files: []File{{Name: "a.txt", Content: "hello", ContentType: api.TypeText}}})
			return err
		},
		"Get":     func(ctx context.Context) error { _, err := c.Get(ctx, testID); return err },
		"List":    func(ctx context.Context) error { _, err := c.List(ctx, ListParams{}); return err },
		"Delete":  func(ctx context.Context) error { _, err := c.Delete(ctx, testID); return err },
		"Inspect": func(ctx context.Context) error { _, err := c.Inspect(ctx, testToken); return err },
		"Claim":   func(ctx context.Context) error { _, err := c.Claim(ctx, testToken, looked()); return err },
	}
}

func TestRetries(t *testing.T) {
	for fname, f := range failures() {
		var s seen
		c, _ := serve(t, failing(&s, 0, nil))
		for cname := range calls(c) {
			t.Run(fname+"/"+cname, func(t *testing.T) {
				var s seen
				c, _ := serve(t, failing(&s, 2, f))
				if err := calls(c)[cname](context.Background()); err != nil {
					t.Errorf("two failures, then an answer: %v", err)
				}
				reqs := s.all()
				if len(reqs) != 3 {
					t.Fatalf("%d attempts, want 3", len(reqs))
				}
				for i, r := range reqs {
					if r.method != reqs[0].method || r.path != reqs[0].path || r.body != reqs[0].body || r.length != reqs[0].length {
						t.Errorf("attempt %d differs from the first", i+1)
					}
					if key := r.header.Get(api.HeaderIdempotencyKey); key != reqs[0].header.Get(api.HeaderIdempotencyKey) {
						t.Errorf("attempt %d has another idempotency key", i+1)
					}
				}
			})
		}
	}
}

func TestRetriesEnd(t *testing.T) {
	for fname, f := range failures() {
		for _, retries := range []int{0, 1, 3} {
			t.Run(fmt.Sprintf("%s/%d", fname, retries), func(t *testing.T) {
				var s seen
				c, _ := serve(t, failing(&s, 100, f), WithRetries(retries))
				_, err := c.Inspect(context.Background(), testToken)
				if e := asError(t, err); !e.retryable() {
					t.Errorf("error is %v", err)
				}
				if n := len(s.all()); n != retries+1 {
					t.Errorf("%d attempts, want %d", n, retries+1)
				}
			})
		}
	}
}

func TestNotRetried(t *testing.T) {
	for code, status := range api.Statuses {
		if status == http.StatusServiceUnavailable {
			continue
		}
		var s seen
		c, _ := serve(t, failing(&s, 100, func(w http.ResponseWriter, _ *http.Request) { refuse(w, code, "no") }))
		for name, call := range calls(c) {
			before := len(s.all())
			if err := call(context.Background()); err == nil {
				t.Errorf("%s of %s: no error", name, code)
			}
			if n := len(s.all()) - before; n != 1 {
				t.Errorf("%s of %s: %d attempts, want 1", name, code, n)
			}
		}
	}
}

// Creates and claims send a new version 4 UUID, other calls none.
func TestIdempotencyKeys(t *testing.T) {
	var s seen
	c, _ := serve(t, failing(&s, 0, nil))
	used := map[string]bool{}
	for range 3 {
		for name, call := range calls(c) {
			before := len(s.all())
			if err := call(context.Background()); err != nil {
				t.Fatal(err)
			}
			key := s.all()[before].header.Get(api.HeaderIdempotencyKey)
			switch name {
			case "Send", "SendFiles", "Claim":
				if id, err := uuid.Parse(key); err != nil || id.Version() != 4 || used[key] {
					t.Errorf("%s has the key %q (used before: %v)", name, key, used[key])
				}
				used[key] = true
			default:
				if key != "" {
					t.Errorf("%s has an idempotency key", name)
				}
			}
		}
	}
}

func TestRetryAfterHeader(t *testing.T) {
	now := time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]time.Duration{
		"":                              0,
		"7":                             7 * time.Second,
		"-7":                            0,
		"1.5":                           0,
		"soon":                          0,
		"99999999999999999999":          0,
		"Sat, 28 Mar 2026 12:01:00 GMT": time.Minute,
		"Sat, 28 Mar 2026 11:00:00 GMT": 0,
	} {
		if got := retryAfter(in, now); got != want {
			t.Errorf("retryAfter(%q) = %v, want %v", in, got, want)
		}
	}
}

// The client waits as long as the server's Retry-After says, and shows it.
func TestRetryAfterIsHonoured(t *testing.T) {
	var s seen
	c, _ := serve(t, failing(&s, 1, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1")
		refuse(w, api.CodeUnavailable, "busy")
	}))
	start := time.Now()
	if _, err := c.Inspect(context.Background(), testToken); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < time.Second {
		t.Errorf("the second attempt came after %v, want a second at least", took)
	}

	limited, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "12")
		refuse(w, api.CodeRateLimited, "slow down")
	})
	_, err := limited.Inspect(context.Background(), testToken)
	if e := asError(t, err); e.RetryAfter != 12*time.Second {
		t.Errorf("RetryAfter is %v, want 12s", e.RetryAfter)
	}
}

// A wait that would outlast the context's deadline does not begin. A wait ends with its
// context. Both give the last answer and the reason.
func TestWaitingEndsWithContext(t *testing.T) {
	var s seen
	log, logged := logger()
	c, _ := serve(t, failing(&s, 100, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600") // capped, but still long
		refuse(w, api.CodeUnavailable, "busy")
	}), WithLogger(log))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err := c.Inspect(ctx, testToken)
	if e := asError(t, err); e.Status != 503 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v", err)
	}
	if ctx.Err() != nil {
		t.Error("the deadline was waited for")
	}
	if n := len(s.all()); n != 1 {
		t.Errorf("%d attempts, want 1", n)
	}

	ctx, cancel = context.WithCancel(context.Background())
	go func() {
		for strings.Count(logged(), `"attempt":1`) < 2 { // the second call's has ended
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	_, err = c.Inspect(ctx, testToken)
	if e := asError(t, err); e.Status != 503 || !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

// The timeout ends an attempt that stalls, which is then tried again. It does not end an
// attempt that makes progress.
func TestTimeout(t *testing.T) {
	var s seen
	c, _ := serve(t, failing(&s, 1, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), WithTimeout(50*time.Millisecond))
	if _, err := c.Inspect(context.Background(), testToken); err != nil {
		t.Errorf("a second attempt that answers: %v", err)
	}

	hang, _ := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, WithTimeout(20*time.Millisecond))
	_, err := hang.Claim(context.Background(), testToken, looked())
	wantOnly(t, err, ErrNetwork)
	if e := asError(t, err); !errors.Is(err, context.DeadlineExceeded) || !e.Uncertain || !strings.Contains(err.Error(), "within 20ms") {
		t.Errorf("error is %v", err)
	}

	drip, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			w.Write([]byte(" "))
			w.(http.Flusher).Flush()
			time.Sleep(time.Millisecond)
		}
	}, WithTimeout(50*time.Millisecond), WithRetries(0))
	_, err = drip.Inspect(context.Background(), testToken)
	if e := asError(t, err); !errors.Is(err, context.DeadlineExceeded) || e.Status != 200 {
		t.Errorf("a body that drips for ever: %v", err)
	}

	const pieces = 20 // two seconds
	slow, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte(`{"content":"`))
		for range pieces {
			w.Write(bytes.Repeat([]byte("x"), step))
			w.(http.Flusher).Flush()
			time.Sleep(100 * time.Millisecond)
		}
		w.Write([]byte(`","content_type":"text/plain"}`))
	}, WithTimeout(1500*time.Millisecond), WithRetries(0))
	if got, err := slow.Claim(context.Background(), testToken, looked()); err != nil || len(got.Text()) != pieces*step {
		t.Errorf("a body that takes longer than the timeout but moves: %v", err)
	}
}
