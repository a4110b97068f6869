package local_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/relay/local"
)

// logBuffer is what a logger writes to from many goroutines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// serving is a relay that serves until stop.
type serving struct {
	relay *local.Relay
	log   *logBuffer
	stop  func()
}

func serve(t *testing.T, dir, addr string) serving {
	t.Helper()
	log := &logBuffer{}
	r := newRelay(t, local.Config{Dir: dir, Origin: "http://" + addr, Logger: log.logger()})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Serve(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return serving{r, log, stop}
}

// plain is a client that makes a new connection for each request.
var plain = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func healthy(addr string) bool {
	resp, err := plain.Get("http://" + addr + "/health")
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return err == nil && resp.StatusCode == 200 && bytes.Contains(b, []byte(`"connected"`))
}

func createAt(t *testing.T, r *local.Relay, addr, content string) string {
	t.Helper()
	req := request(t, "POST", "http://"+addr+"/api/v1/kubbis", `{"content":"`+content+`","content_type":"text/plain","ttl_seconds":60}`)
	resp, err := client(r).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 201 {
		t.Fatalf("%v: %s", err, b)
	}
	_, token, _ := strings.Cut(string(b), "/r/")
	return token[:43]
}

func TestTakeover(t *testing.T) {
	dir, addr := filepath.Join(t.TempDir(), "kubbi"), testkit.MustFreeAddr(t)
	first := serve(t, dir, addr)
	testkit.Receive(t, first.relay.Settled(), "end of the first attempt to listen")
	if !healthy(addr) {
		t.Error("the relay is settled, and does not answer")
	}
	second := serve(t, dir, addr)
	// Kubbis of both can be claimed at the one address.
	for i, s := range []serving{first, second} {
		token := createAt(t, s.relay, addr, "before")
		if got, _ := claim(t, plain, "http://"+addr, token); got != "before" {
			t.Errorf("relay %d's kubbi holds %q over HTTP", i, got)
		}
	}
	token := createAt(t, first.relay, addr, "left behind")
	first.stop()
	if err := first.relay.Close(); err != nil {
		t.Error(err)
	}
	testkit.Await(t, "the second listens", func() bool { return healthy(addr) })
	if got, _ := claim(t, plain, "http://"+addr, token); got != "left behind" {
		t.Errorf("after the takeover the kubbi holds %q", got)
	}
	if out := second.log.String(); strings.Contains(out, "level=WARN") {
		t.Errorf("a relay of the same directory is no stranger: %s", out)
	}
	second.stop()
	if healthy(addr) {
		t.Error("it still listens after Serve returned")
	}
}

func TestStranger(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]http.HandlerFunc{
		"a web server": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") },
		"one that says it is a relay": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Kubbi-Relay", "0123456789abcdef")
			io.WriteString(w, `{"status":"ok","database":"connected"}`)
		},
		"one that redirects": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://192.0.2.1/")
			w.WriteHeader(302)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var probes []*http.Request
			stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				probes = append(probes, r)
				mu.Unlock()
				handler(w, r)
			}))
			defer stranger.Close()
			addr := stranger.Listener.Addr().String()
			s := serve(t, filepath.Join(t.TempDir(), "kubbi"), addr)
			warnings := func() int { return strings.Count(s.log.String(), "level=WARN") }
			testkit.Await(t, "it warns", func() bool { return warnings() > 0 })
			if out := s.log.String(); !strings.Contains(out, "held by another program") || !strings.Contains(out, addr) {
				t.Errorf("warning: %s", out)
			}
			mu.Lock()
			for _, p := range probes {
				if p.Header.Get("Authorization") != "" {
					t.Error("the API key was shown to a stranger")
				}
			}
			mu.Unlock()
			// In-process it works nevertheless.
			createAt(t, s.relay, addr, "x")
			stranger.Close()
			testkit.Await(t, "it takes over", func() bool { return healthy(addr) })
			if n := warnings(); n != 1 {
				t.Errorf("%d warnings", n)
			}
		})
	}
}

func TestServeEndsWhileWaiting(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // accepts, but never answers
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	serve(t, filepath.Join(t.TempDir(), "kubbi"), ln.Addr().String()).stop()
}

// TestHostCheck sends the Host of a web page whose DNS name points to this machine.
func TestHostCheck(t *testing.T) {
	r := newRelay(t, local.Config{})
	srv := httptest.NewServer(r.Handler())
	defer srv.Close()
	for host, want := range map[string]int{
		"evil.test": 404, "evil.test:7117": 404, "127.0.0.1.evil.test": 404, "192.168.0.1": 404, "localhost.evil.test": 404, "0.0.0.0": 404, "[::]:80": 404,
		"localhost": 200, "localhost:7117": 200, "LocalHost": 200, "127.0.0.1": 200, "127.0.0.1:1": 200, "[::1]": 200, "[::1]:7117": 200,
	} {
		req := request(t, "GET", srv.URL+"/health", "")
		req.Host = host
		resp, err := plain.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want || want == 404 && !strings.Contains(string(b), `"error":"not_found"`) {
			t.Errorf("Host %s: %s %s", host, resp.Status, b)
		}
	}
}

func TestHandlerOfABrokenDirectory(t *testing.T) {
	log := &logBuffer{}
	r := newRelay(t, local.Config{Dir: "/dev/null/kubbi", Logger: log.logger()})
	srv := httptest.NewServer(r.Handler())
	defer srv.Close()
	resp, err := plain.Get(srv.URL + "/health")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 503 || strings.Contains(string(b), "/dev/null") || !strings.Contains(log.String(), "/dev/null") {
		t.Errorf("%s %s, logged %s", resp.Status, b, log)
	}
}
