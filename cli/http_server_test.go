package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestMain removes what built has built.
func TestMain(m *testing.M) {
	code := m.Run()
	if builtDir != "" {
		os.RemoveAll(builtDir)
	}
	os.Exit(code)
}

// builtDir is where built has built, empty if no test needed it.
var builtDir string

// built builds the program once, with the race detector where the tests have it.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "kubbi-mcp-test-")
	if err != nil {
		return "", err
	}
	builtDir = dir
	path := filepath.Join(dir, "kubbi-mcp")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	args := []string{"build", "-o", path}
	if racing() {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, ".")...)
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// racing tells whether the tests have the race detector.
func racing() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "-race" && s.Value == "true" })
}

// logBuffer takes a program's log while others look at it. Of a long one it
// takes only what is out of the ordinary.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() > 4<<20 && (bytes.Contains(b, []byte(`"level":"DEBUG"`)) || bytes.Contains(b, []byte(`"level":"INFO"`))) {
		return len(b), nil
	}
	return l.b.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// httpServer is a kubbi-mcp that serves MCP over HTTP, as a process.
type httpServer struct {
	url    string // its origin
	cmd    *exec.Cmd
	log    *logBuffer
	exited chan struct{}
	err    error // how it exited
}

// command is `kubbi-mcp serve --transport http` with a configuration of its own.
func command(ctx context.Context, t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	cmd := exec.CommandContext(ctx, path, append([]string{"serve", "--transport", "http", "--addr", "127.0.0.1:0",
		"--relay-url", freeURL(t), "--log-format", "json", "--log-level", "debug"}, args...)...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "KUBBI_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "HOME="+home, "XDG_DATA_HOME="+home)
	return cmd
}

// startHTTP starts a server, which the end of the test stops. It must end well.
func startHTTP(t *testing.T, args ...string) *httpServer {
	t.Helper()
	s := launchHTTP(t, command(context.Background(), t, args...))
	t.Cleanup(func() { s.stop(t) })
	return s
}

// launchHTTP starts a server and waits until it says where it listens.
func launchHTTP(t *testing.T, cmd *exec.Cmd) *httpServer {
	t.Helper()
	s := &httpServer{cmd: cmd, log: &logBuffer{}, exited: make(chan struct{})}
	cmd.Stderr = s.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.err = cmd.Wait()
		close(s.exited)
	}()
	await(t, "the server's address in its log", func() bool {
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

// stop ends a server with SIGTERM, and may be called again.
func (s *httpServer) stop(t *testing.T) {
	t.Helper()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
		if s.err != nil {
			t.Errorf("serve: %v\n%.5000s", s.err, s.log)
		}
	case <-time.After(patience):
		_ = s.cmd.Process.Kill()
		t.Error("the server does not end")
	}
}

// await waits until something is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !so() {
		select {
		case <-ctx.Done():
			t.Fatalf("still waiting for %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// descriptors counts the server's open files and sockets; 0 where that can't be
// seen.
func (s *httpServer) descriptors() int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	return len(entries)
}

// footprint is what a server holds.
type footprint struct{ descriptors, goroutines int }

// footprint looks what the server holds, beside the connection that it is asked
// on.
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

// baseline is what the server holds once it has served a caller.
func (s *httpServer) baseline(t *testing.T, header http.Header) footprint {
	t.Helper()
	s.serves(t, header)
	return s.footprint(t, header)
}

// serves checks that calls are answered; by the Kubbi API even, where it is not
// one of the test's own.
func (s *httpServer) serves(t *testing.T, header http.Header) {
	t.Helper()
	p := s.connect(t, overHTTP, header)
	defer p.close()
	p.mustCall(t, "send", map[string]any{"content": "still here"})
	if _, err := p.do(t.Context(), http.MethodDelete, "/mcp", nil); err != nil {
		t.Error(err)
	}
}

// recovers checks that an attack has left nothing behind, and calls are served.
func (s *httpServer) recovers(t *testing.T, before footprint, header http.Header) {
	t.Helper()
	s.serves(t, header)
	var now footprint
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		now = s.footprint(t, header)
		// Give or take a connection.
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

// request makes a request to the server and reads the answer whole.
func (s *httpServer) request(t *testing.T, method, path string, header http.Header, body string) (*http.Response, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
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
