package http

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
)

// dial opens a raw TCP connection.
func (s *httpServer) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(testkit.Patience))
	return conn
}

// raw sends bytes and returns the statuses of at most that many answers.
func (s *httpServer) raw(t *testing.T, text string, most int) []int {
	t.Helper()
	conn := s.dial(t)
	go func() { _, _ = io.WriteString(conn, text) }() // it may be refused half-way
	r := bufio.NewReader(conn)
	var statuses []int
	for len(statuses) < most {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			break
		}
		statuses = append(statuses, resp.StatusCode)
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil || resp.Close {
			break
		}
	}
	return statuses
}

// message is a request with a body, after which the connection ends.
func message(lines, body string) string {
	return fmt.Sprintf("POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n%sContent-Length: %d\r\n\r\n%s", lines, len(body), body)
}

// TestGarbage sends invalid and unusual requests.
func TestGarbage(t *testing.T) {
	t.Parallel()
	s := startHTTP(t, "--max-body", "100000")
	before := s.baseline(t, nil)
	const get = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
	chunked := func(size, chunks int) string {
		chunk := fmt.Sprintf("%x\r\n%s\r\n", size, strings.Repeat(" ", size))
		return "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat(chunk, chunks) + "0\r\n\r\n"
	}
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	callOf := func(arguments string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"send","arguments":` + arguments + `}}`
	}
	for _, tt := range []struct {
		name string
		text string
		want string // the statuses
	}{
		{"no HTTP", "hello\r\n\r\n", "[400]"},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 500) + "\r\n\r\n", "[400]"},
		{"nothing but line ends", strings.Repeat("\r\n", 1000), "[400]"},
		{"HTTP/2 in plain text", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "[403]"},
		{"HTTP/1.0", "GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n", "[200]"},
		{"HTTP/1.0 without a host", "GET /healthz HTTP/1.0\r\n\r\n", "[403]"},
		{"HTTP/1.0 message", strings.Replace(message("", webInit), "HTTP/1.1", "HTTP/1.0", 1), "[200]"},
		{"HTTP/1.1 without a host", "GET /healthz HTTP/1.1\r\n\r\n", "[400]"},
		{"two hosts", get + "Host: localhost\r\n\r\n", "[400]"},
		{"a whole URL", "GET http://evil.example.com/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", "[403]"},
		{"a proxy's request", "CONNECT evil.example.com:443 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "[403]"},
		{"three in one", get + "\r\n" + get + "\r\n" + message("", webInit), "[200 200 200]"},
		{"a bomb of one header", get + "X-A: " + strings.Repeat("a", 1<<20) + "\r\n\r\n", "[431]"},
		{"a bomb of many", get + strings.Repeat("X-A: b\r\n", 100000) + "\r\n", "[431]"},
		{"a bomb of a URL", "GET /" + strings.Repeat("a", 1<<20) + " HTTP/1.1\r\nHost: localhost\r\n\r\n", "[431]"},
		{"a length below 0", strings.Replace(message("", ""), "Content-Length: 0", "Content-Length: -1", 1), "[400]"},
		{"two lengths", message("Content-Length: 5\r\n", "{}"), "[400]"},
		{"another coding", message("Transfer-Encoding: gzip\r\n", "{}"), "[501]"},
		{"a length without end", strings.Replace(message("", ""), "Content-Length: 0", "Content-Length: 9223372036854775807", 1), "[413]"},
		{"too long", message("", strings.Repeat(" ", 100001)), "[413]"},
		{"too long, asked before", strings.Replace(message("Expect: 100-continue\r\n", ""), "Content-Length: 0", "Content-Length: 100001", 1), "[413]"},
		{"too long, in chunks", chunked(10000, 11), "[413]"},
		{"far too long, in chunks", chunked(100000, 100), "[413]"},
		{"in chunks", strings.Replace(chunked(1000, 1), "1000\r\n", fmt.Sprintf("%x\r\n", 1000), 1), "[400]"}, // no message, but read
		{"chunks of garbage", strings.Replace(chunked(1000, 1), "3e8", "xyz", 1), "[400]"},
		{"no body", message("", ""), "[400]"},
		{"no JSON", message("", "hello"), "[400]"},
		{"half of it", message("", webInit[:50]), "[400]"},
		{"no object", message("", "[]"), "[400]"},
		{"a batch", message("", "["+webInit+"]"), "[400]"},
		{"no request", message("", "{}"), "[400]"},
		{"no UTF-8", message("", "{\"jsonrpc\":\"2.0\",\"id\":\"\xff\",\"method\":\"ping\"}"), "[400]"},
		{"half a character", message("", callOf(`{"content":"\ud800"}`)), "[400]"},
		{"deep", message("", deep(40000)), "[400]"},
		{"deep params", message("", `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":`+deep(40000)+`}}`), "[400]"},
		{"another type", strings.Replace(message("", webInit), "application/json", "text/plain", 1), "[400]"},
		{"a form", strings.Replace(message("", webInit), "application/json", "application/x-www-form-urlencoded", 1), "[400]"},
		{"no session", message("", callOf(`{"content":"x"}`)), "[400]"},
		{"an unknown session", message("Mcp-Session-Id: x\r\n", callOf(`{"content":"x"}`)), "[404]"},
		{"an unknown session of SSE", strings.Replace(message("", webPing), "/mcp", "/message?sessionId=x", 1), "[404]"},
		{"no session of SSE", strings.Replace(message("", webPing), "/mcp", "/message", 1), "[404]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := fmt.Sprint(s.raw(t, tt.text, len(strings.Fields(tt.want)))); got != tt.want {
				t.Errorf("answers %s, want %s", got, tt.want)
			}
		})
	}
	for path, methods := range map[string]map[string]int{
		"/mcp":        {"PUT": 405, "PATCH": 405, "HEAD": 405, "OPTIONS": 405, "TRACE": 405, "FOO": 405, "GET": 400, "DELETE": 404},
		"/sse":        {"POST": 405, "DELETE": 405, "PUT": 405},
		"/message":    {"GET": 405, "DELETE": 405, "POST": 404},
		"/metrics":    {"POST": 405, "GET": 200},
		"/healthz":    {"POST": 405, "HEAD": 200},
		"/":           {"GET": 404, "POST": 404},
		"/mcp/":       {"POST": 400, "GET": 400, "PUT": 405},
		"/mcp/x":      {"POST": 404},
		"/debug/vars": {"GET": 404},
		"/%2e%2e/mcp": {"GET": 404},
		"/.well-known/oauth-protected-resource/x": {"GET": 404},
	} {
		for method, want := range methods {
			resp, body := s.request(t, method, path, nil, "")
			if resp.StatusCode != want || want == http.StatusMethodNotAllowed && resp.Header.Get("Allow") == "" {
				t.Errorf("%s %s: %s, %v, %s", method, path, resp.Status, resp.Header, body)
			}
		}
	}
	// Deep or unusual values in a call's arguments.
	p := s.connect(t, overHTTP, nil)
	for _, arguments := range []string{
		`{"content":` + deep(9000) + `}`, `{"content":"x","metadata":` + deep(9000) + `}`, `{"content":"\u0000"}`,
		`{"content":1e400}`, `{"content":"x","ttl_seconds":1e400}`, `{"content":"x","content":"y"}`, `{"__proto__":{},"content":"x"}`, `null`, `{"":{}}`,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
		if _, err := p.post(ctx, []byte(callOf(arguments))); err != nil {
			t.Errorf("%.40s: %v", arguments, err)
		}
		cancel()
	}
	p.close()
	s.recovers(t, before, nil)
	if log := s.log.String(); strings.Contains(log, "panic") {
		t.Errorf("something panicked:\n%.3000s", log[strings.Index(log, "panic"):])
	}
}

// standstill is a Kubbi API whose lists block until release.
type standstill struct {
	*httptest.Server
	letGo   func()
	running atomic.Int64 // requests
}

func newStandstill(t *testing.T) *standstill {
	t.Helper()
	let := make(chan struct{})
	s := &standstill{letGo: sync.OnceFunc(func() { close(let) })}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		s.running.Add(1)
		defer s.running.Add(-1)
		select {
		case <-let:
		case <-r.Context().Done():
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"kubbis":[],"pagination":{"page":1,"limit":20,"total":0,"total_pages":0}}`)
	}))
	t.Cleanup(s.Close)
	t.Cleanup(s.letGo)
	return s
}

// TestTooMuch has callers use more than their share of sessions, streams and calls.
func TestTooMuch(t *testing.T) {
	t.Parallel()
	api := newStandstill(t)
	var lines []string
	token := func(i int) http.Header { return bearer(fmt.Sprintf("token-of-caller-%04d", i)) }
	for i := range 6 {
		lines = append(lines, fmt.Sprintf("caller%d token-of-caller-%04d kb_of_caller_%d", i, i, i))
	}
	s := startHTTP(t, "--base-url", api.URL, "--auth-token-file", tokenFile(t, lines...), "--max-sessions", "4", "--max-calls", "3")
	before := s.baseline(t, token(0))
	tooMany := func(what string, header http.Header, session string) {
		t.Helper()
		for path, method := range map[string]string{"/mcp": http.MethodPost, "/sse": http.MethodGet} {
			if session != "" && path == "/sse" {
				continue
			}
			h := header.Clone()
			body := webInit
			if session != "" {
				h.Set("Mcp-Session-Id", session)
				body = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list","arguments":{}}}`
			}
			resp, answer := s.request(t, method, path, h, body)
			if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" || !strings.Contains(answer, `"error"`) {
				t.Errorf("too many %s, %s: %s, %v, %s", what, path, resp.Status, resp.Header, answer)
			}
		}
	}
	var peers []*peer
	for range 2 {
		peers = append(peers, s.connect(t, overHTTP, token(0)), s.connect(t, overSSE, token(0)))
	}
	tooMany("sessions", token(0), "")
	again := []*peer{s.connect(t, overHTTP, token(1))} // which is no concern of others

	// Too many streams in one session.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for i := range 10 {
		resp, err := peers[0].do(ctx, http.MethodGet, "/mcp", nil)
		var status *statusError
		switch {
		case i < 8 && err != nil, i >= 8 && (!errors.As(err, &status) || status.status != http.StatusTooManyRequests):
			t.Errorf("stream %d: %v", i, err)
		case err == nil:
			defer resp.Body.Close()
		}
	}
	cancel()

	// After the end of a session, over either transport, another one fits.
	if _, err := peers[0].do(t.Context(), http.MethodDelete, "/mcp", nil); err != nil {
		t.Error(err)
	}
	peers[1].close()
	again = append(again, s.connect(t, overHTTP, token(0)))
	testkit.Await(t, "room for a session", func() bool {
		p := newPeer(s.url, overSSE, token(0), &http.Client{Transport: &http.Transport{}})
		t.Cleanup(p.close)
		again = append(again, p)
		return p.open(t.Context()) == nil
	})
	tooMany("sessions", token(0), "")

	// Three calls of each caller run at once, twelve of all callers.
	var calls sync.WaitGroup
	list := func(p *peer) {
		calls.Go(func() {
			if res, err := p.call(t.Context(), "list", map[string]any{}); err != nil || res.IsError {
				t.Errorf("list: %v, %v", res, err)
			}
		})
	}
	running := func(n int64) func() bool { return func() bool { return api.running.Load() == n } }
	for i := range int64(4) {
		p := s.connect(t, overHTTP, token(int(i)+1))
		if i == 3 {
			p = peers[3]
		}
		again = append(again, p)
		for range 3 {
			list(p)
		}
		testkit.Await(t, "running calls", running(3*(i+1)))
		if p.transport == overHTTP {
			tooMany("calls", p.header, p.session)
		} else if _, err := p.call(t.Context(), "list", map[string]any{}); !isStatus(err, http.StatusTooManyRequests) {
			t.Errorf("too many calls over SSE: %v", err)
		}
	}
	p := newPeer(s.url, overHTTP, token(5), &http.Client{Transport: &http.Transport{}})
	t.Cleanup(p.close)
	if err := p.open(t.Context()); !isStatus(err, http.StatusServiceUnavailable) {
		t.Errorf("a call of a fifth caller: %v", err)
	}
	api.letGo()
	calls.Wait()
	testkit.Await(t, "the end of the calls", running(0))
	for _, p := range append(append(peers, again...), p) {
		p.close()
	}
	api.CloseClientConnections() // those that each caller's client keeps
	s.recovers(t, before, token(5))
}

func isStatus(err error, status int) bool {
	var e *statusError
	return errors.As(err, &e) && e.status == status
}
