// Package http tests the MCP server over HTTP as a process: callers, attacks and load.
package http

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
)

// httpServer is a kubbi-mcp process that serves MCP over HTTP.
type httpServer struct {
	url    string // its origin
	cmd    *exec.Cmd
	log    *testkit.Log
	exited chan struct{}
	err    error // how it exited
}

// command is `kubbi-mcp serve --transport http` with a configuration of its own.
func command(ctx context.Context, t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return testkit.Command(ctx, t, append([]string{"serve", "--transport", "http", "--addr", "127.0.0.1:0",
		"--relay-url", testkit.FreeURL(t), "--log-format", "json", "--log-level", "debug"}, args...)...)
}

// startHTTP starts a server and stops it at the end of the test. It must exit with 0.
func startHTTP(t *testing.T, args ...string) *httpServer {
	t.Helper()
	s := launchHTTP(t, command(context.Background(), t, args...))
	t.Cleanup(func() { s.stop(t) })
	return s
}

// launchHTTP starts a server and waits until its log names its address.
func launchHTTP(t *testing.T, cmd *exec.Cmd) *httpServer {
	t.Helper()
	s := &httpServer{cmd: cmd, log: &testkit.Log{}, exited: make(chan struct{})}
	cmd.Stderr = s.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.err = cmd.Wait()
		close(s.exited)
	}()
	testkit.Await(t, "the server's address in its log", func() bool {
		select {
		case <-s.exited:
			t.Fatalf("serve: %v\n%s", s.err, s.log)
		default:
		}
		for line := range strings.Lines(s.log.String()) {
			var entry struct{ Msg, URL string }
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "serving MCP over HTTP" {
				s.url = strings.TrimSuffix(entry.URL, "/mcp")
			}
		}
		return s.url != ""
	})
	return s
}

// stop ends a server with SIGTERM. It may be called several times.
func (s *httpServer) stop(t *testing.T) {
	t.Helper()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
		if s.err != nil {
			t.Errorf("serve: %v\n%.5000s", s.err, s.log)
		}
	case <-time.After(testkit.Patience):
		_ = s.cmd.Process.Kill()
		t.Error("the server does not end")
	}
}

// descriptors counts the server's open files and sockets. It is 0 on systems that don't
// show them.
func (s *httpServer) descriptors() int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	return len(entries)
}

// footprint is what a server uses.
type footprint struct{ descriptors, goroutines int }

// footprint measures what the server uses besides the connection of this request.
func (s *httpServer) footprint(t *testing.T, header http.Header) footprint {
	t.Helper()
	_, body := s.request(t, http.MethodGet, "/metrics", header, "")
	_, rest, ok := strings.Cut(body, "\ngo_goroutines ")
	n, err := strconv.Atoi(strings.Fields(rest + " ?")[0])
	if !ok || err != nil {
		t.Fatalf("no go_goroutines in %.300s", body)
	}
	return footprint{s.descriptors(), n}
}

// baseline is the footprint of the server after it has served a caller.
func (s *httpServer) baseline(t *testing.T, header http.Header) footprint {
	t.Helper()
	s.serves(t, header)
	return s.footprint(t, header)
}

// serves checks that the server answers calls, also those that need the Kubbi API.
func (s *httpServer) serves(t *testing.T, header http.Header) {
	t.Helper()
	p := s.connect(t, overHTTP, header)
	defer p.close()
	p.mustCall(t, "send", map[string]any{"content": "still here"})
	if _, err := p.do(t.Context(), http.MethodDelete, "/mcp", nil); err != nil {
		t.Error(err)
	}
}

// recovers checks that the server uses no more than before an attack, and serves calls.
func (s *httpServer) recovers(t *testing.T, before footprint, header http.Header) {
	t.Helper()
	s.serves(t, header)
	var now footprint
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	for {
		now = s.footprint(t, header)
		// A few connections more are normal.
		if now.descriptors <= before.descriptors+2 && now.goroutines <= before.goroutines+4 {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("it held %+v, and holds %+v", before, now)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// request makes a request to the server and reads the whole answer.
func (s *httpServer) request(t *testing.T, method, path string, header http.Header, body string) (*http.Response, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if host := header.Get("Host"); host != "" {
		req.Host = host
	}
	if req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	hc := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := hc.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.Header.Get("Content-Type") == "text/event-stream" {
		return resp, "" // without end
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	return resp, string(b)
}

// headers makes a header of names and values.
func headers(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}
