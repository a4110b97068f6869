package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
	"go.uber.org/goleak"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi"
)

// host is a running HTTP server and a client of it.
type host struct {
	h   *HTTP
	url string
	hc  *http.Client

	client *kubbi.Client // of the same producer
	stop   context.CancelFunc
	done   chan error // Serve's result
}

// newHost serves MCP over HTTP until the test ends. It uses a real relay.
func newHost(t *testing.T, cfg HTTPConfig) *host {
	t.Helper()
	client, relay := newClient(t)
	cfg.Connect = func(_ context.Context, _, key string) (*kubbi.Client, error) {
		if key == "" {
			key = relay.APIKey
		}
		return client.WithAPIKey(key)
	}
	h, err := NewHTTP(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &host{h: h, url: "http://" + l.Addr().String(), hc: &http.Client{Transport: &http.Transport{}}, client: client, stop: stop, done: make(chan error, 1)}
	go func() { s.done <- h.Serve(ctx, l) }()
	t.Cleanup(func() {
		s.hc.CloseIdleConnections()
		s.end(t)
	})
	return s
}

// end stops the server. It may be called several times.
func (s *host) end(t *testing.T) {
	t.Helper()
	s.stop()
	select {
	case err, ok := <-s.done:
		if err != nil {
			t.Errorf("Serve: %v", err)
		}
		if ok {
			close(s.done)
		}
	case <-time.After(patience):
		t.Error("Serve does not end")
	}
}

// open makes a request whose answer may be a stream.
func (s *host) open(ctx context.Context, t *testing.T, method, path, session, body string) *http.Response {
	t.Helper()
	resp, err := s.do(ctx, method, path, session, body)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func (s *host) do(ctx context.Context, method, path, session, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if session != "" {
		req.Header.Set("Mcp-Session-Id", session)
	}
	return s.hc.Do(req)
}

// ask makes a request and gives its answer.
func (s *host) ask(t *testing.T, method, path, session, body string) (status int, answer string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	resp, err := s.do(ctx, method, path, session, body)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return resp.StatusCode, string(b)
}

// session opens a session of streamable HTTP.
func (s *host) session(t *testing.T) string {
	t.Helper()
	resp := s.open(t.Context(), t, http.MethodPost, "/mcp", "", initialize)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Mcp-Session-Id") == "" {
		t.Fatalf("initialize: %s", resp.Status)
	}
	return resp.Header.Get("Mcp-Session-Id")
}

// events reads a stream until it ends, and gives the data of its events.
func events(body io.Reader) <-chan string {
	c := make(chan string, 100)
	go func() {
		defer close(c)
		lines := bufio.NewScanner(body)
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				c <- data
			}
		}
	}()
	return c
}

func next(t *testing.T, events <-chan string) string {
	t.Helper()
	select {
	case e, ok := <-events:
		if !ok {
			t.Fatal("the stream has ended")
		}
		return e
	case <-time.After(patience):
		t.Fatal("no event")
		return ""
	}
}

// sse opens a session of SSE, and gives its endpoint and events.
func (s *host) sse(ctx context.Context, t *testing.T) (endpoint string, stream <-chan string) {
	t.Helper()
	resp := s.open(ctx, t, http.MethodGet, "/sse", "", "")
	stream = events(resp.Body)
	endpoint = next(t, stream)
	s.post(t, endpoint, "", initialize)
	next(t, stream)
	return endpoint, stream
}

// post sends a message that is answered on a stream, or not at all.
func (s *host) post(t *testing.T, path, session, body string) {
	t.Helper()
	if status, answer := s.ask(t, http.MethodPost, path, session, body); status != http.StatusAccepted {
		t.Fatalf("%d: %s", status, answer)
	}
}

func callOf(id int, tool, args string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"arguments":%s}}`, id, tool, args)
}

// waiting is a tool that runs until the test ends the call or it is cancelled.
type waiting struct {
	began chan struct{}
	goOn  chan struct{}
	ended chan error
}

func newWaiting() *waiting {
	return &waiting{began: make(chan struct{}, 100), goOn: make(chan struct{}), ended: make(chan error, 100)}
}

func (w *waiting) add(s *mcpserver.MCPServer) error {
	s.AddTool(mcp.NewTool("wait"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		w.began <- struct{}{}
		var err error
		select {
		case <-w.goOn:
		case <-ctx.Done():
			err = ctx.Err()
		}
		w.ended <- err
		return mcp.NewToolResultText("waited"), nil
	})
	return nil
}

// TestHTTPDrain stops a server while calls run on both transports: they are answered,
// then the streams end, and nothing new begins.
func TestHTTPDrain(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) }) // after all others
	w := newWaiting()
	s := newHost(t, HTTPConfig{Server: Config{Add: w.add}})
	defer s.hc.CloseIdleConnections()
	id := s.session(t)
	endpoint, stream := s.sse(t.Context(), t)
	listening := events(s.open(t.Context(), t, http.MethodGet, "/mcp", id, "").Body)

	answer := make(chan string, 1)
	go func() {
		_, a := s.ask(t, http.MethodPost, "/mcp", id, callOf(1, "wait", "{}"))
		answer <- a
	}()
	s.post(t, endpoint, "", callOf(2, "wait", "{}"))
	testkit.Receive(t, w.began, "the first call")
	testkit.Receive(t, w.began, "the second call")
	s.stop()
	for draining := false; !draining; _, _, draining = s.h.http.State() {
		time.Sleep(time.Millisecond)
	}
	rec := &recorder{header: http.Header{}}
	req, _ := http.NewRequest(http.MethodPost, "/mcp", strings.NewReader(callOf(3, "wait", "{}")))
	req.Host = "localhost"
	req.Header.Set("Mcp-Session-Id", id)
	s.h.ServeHTTP(rec, req)
	if rec.status != http.StatusServiceUnavailable || rec.header.Get("Retry-After") == "" || !strings.Contains(rec.body.String(), "shutting down") {
		t.Errorf("a call while draining: %d %v %s", rec.status, rec.header, rec.body.String())
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://")); err == nil {
		t.Error("the address is still taken")
	}
	close(w.goOn)
	if a := testkit.Receive(t, answer, "the answer"); !strings.Contains(a, "waited") {
		t.Errorf("streamable HTTP: %s", a)
	}
	if a := next(t, stream); !strings.Contains(a, "waited") {
		t.Errorf("SSE: %s", a)
	}
	for range 2 {
		if err := testkit.Receive(t, w.ended, "the calls"); err != nil {
			t.Errorf("a call was cancelled: %v", err)
		}
	}
	s.end(t)
	if _, ok := <-stream; ok {
		t.Error("SSE: more than the answer")
	}
	if _, ok := <-listening; ok {
		t.Error("more than nothing on the other stream")
	}
}

// recorder is an http.ResponseWriter without a connection.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }
func (r *recorder) Flush()                      {}

// TestHTTPDrainEnds checks that calls which run longer than Drain are cancelled.
func TestHTTPDrainEnds(t *testing.T) {
	w := newWaiting()
	s := newHost(t, HTTPConfig{Server: Config{Add: w.add}, Limits: HTTPLimits{Drain: 50 * time.Millisecond}})
	id := s.session(t)
	answer := make(chan string, 1)
	go func() {
		_, a := s.ask(t, http.MethodPost, "/mcp", id, callOf(1, "wait", "{}"))
		answer <- a
	}()
	testkit.Receive(t, w.began, "the call")
	s.stop()
	if err := testkit.Receive(t, w.ended, "the end"); !errors.Is(err, context.Canceled) {
		t.Errorf("the call ended with %v", err)
	}
	testkit.Receive(t, answer, "the answer")
	s.end(t)
}

// TestHTTPClientGone checks on both transports that calls are cancelled when their client
// has gone or cancels them.
func TestHTTPClientGone(t *testing.T) {
	w := newWaiting()
	s := newHost(t, HTTPConfig{Server: Config{Add: w.add}})
	id := s.session(t)
	var asked sync.WaitGroup
	defer asked.Wait()
	for name, begin := range map[string]func(ctx context.Context) (cancel func()){
		"POST closed": func(ctx context.Context) func() {
			ctx, cancel := context.WithCancel(ctx)
			go func() {
				if resp, err := s.do(ctx, http.MethodPost, "/mcp", id, callOf(1, "wait", "{}")); err == nil {
					resp.Body.Close()
				}
			}()
			return cancel
		},
		"SSE closed": func(ctx context.Context) func() {
			ctx, cancel := context.WithCancel(ctx)
			endpoint, _ := s.sse(ctx, t)
			s.post(t, endpoint, "", callOf(1, "wait", "{}"))
			return cancel
		},
		"cancelled": func(context.Context) func() {
			asked.Go(func() { s.ask(t, http.MethodPost, "/mcp", id, callOf(7, "wait", "{}")) })
			return func() {
				s.post(t, "/mcp", id, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`)
			}
		},
		"cancelled, with progress": func(context.Context) func() {
			asked.Go(func() {
				s.ask(t, http.MethodPost, "/mcp", id, `{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{"name":"wait","_meta":{"progressToken":1}}}`)
			})
			return func() {
				s.post(t, "/mcp", id, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"x"}}`)
			}
		},
		"cancelled over SSE": func(ctx context.Context) func() {
			endpoint, _ := s.sse(ctx, t)
			s.post(t, endpoint, "", callOf(1, "wait", "{}"))
			return func() {
				s.post(t, endpoint, "", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			cancel := begin(t.Context())
			testkit.Receive(t, w.began, "the call")
			cancel()
			if err := testkit.Receive(t, w.ended, "the end"); !errors.Is(err, context.Canceled) {
				t.Errorf("the call ended with %v", err)
			}
		})
	}
	s.end(t) // would wait for calls that still count as running
}

// running is how many calls run.
func (s *host) running() int {
	calls, _, _ := s.h.http.State()
	return calls
}

// TestHTTPIdleSessions checks that idle sessions are dropped, and no others.
func TestHTTPIdleSessions(t *testing.T) {
	s := newHost(t, HTTPConfig{Limits: HTTPLimits{SessionIdle: 300 * time.Millisecond}})
	idle, streaming := s.session(t), s.session(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.open(ctx, t, http.MethodGet, "/mcp", streaming, "")
	ping := `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	c := s.onlyCaller(t)
	for c.endpoint.Has(idle) {
		if t.Context().Err() != nil {
			t.Fatal("the idle session stays")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if status, answer := s.ask(t, http.MethodPost, "/mcp", idle, ping); status != http.StatusNotFound || !strings.Contains(answer, "idle") {
		t.Errorf("the idle session: %d %s", status, answer)
	}
	if status, answer := s.ask(t, http.MethodPost, "/mcp", streaming, ping); status != http.StatusOK {
		t.Errorf("the session with a stream: %d %s", status, answer)
	}
}

func (s *host) onlyCaller(t *testing.T) *caller {
	t.Helper()
	all := s.h.callers.all()
	if len(all) != 1 {
		t.Fatalf("%d callers", len(all))
	}
	return all[0]
}

// TestHTTPNotificationsStayApart checks that two calls of a session, which also has a
// stream, get their progress notifications each with its own answer.
func TestHTTPNotificationsStayApart(t *testing.T) {
	add := func(m *mcpserver.MCPServer) error {
		m.AddTool(mcp.NewTool("steps"), func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			for i := range 20 {
				if err := m.SendNotificationToClient(ctx, string(mcp.MethodNotificationProgress), map[string]any{
					"progressToken": r.Params.Meta.ProgressToken, "progress": i,
				}); err != nil {
					return nil, err
				}
				time.Sleep(time.Millisecond)
			}
			return mcp.NewToolResultText("done"), nil
		})
		return nil
	}
	s := newHost(t, HTTPConfig{Server: Config{Add: add}})
	id := s.session(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	listening := events(s.open(ctx, t, http.MethodGet, "/mcp", id, "").Body)
	answers := make(chan string, 2)
	for i := range 2 {
		go func() {
			_, a := s.ask(t, http.MethodPost, "/mcp", id,
				fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"steps","_meta":{"progressToken":"of %d"}}}`, i, i))
			answers <- a
		}()
	}
	for range 2 {
		a := testkit.Receive(t, answers, "an answer")
		own := ""
		n := 0
		for e := range events(strings.NewReader(a)) {
			var m struct {
				ID     *int
				Params struct{ ProgressToken string }
			}
			if err := json.Unmarshal([]byte(e), &m); err != nil {
				t.Fatal(err)
			}
			if m.ID != nil {
				own = fmt.Sprint("of ", *m.ID)
			}
			if m.Params.ProgressToken != "" {
				n++
			}
		}
		if own == "" || n != 20 || strings.Count(a, `"`+own+`"`) != 20 {
			t.Errorf("%s: %d notifications of progress, not its own 20", own, n)
		}
	}
	cancel()
	for e := range listening {
		t.Errorf("on the other stream: %s", e)
	}
}

// TestHTTPPanic checks that the answer to a call that panics has no details.
func TestHTTPPanic(t *testing.T) {
	add := func(m *mcpserver.MCPServer) error {
		m.AddTool(mcp.NewTool("panic"), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) { panic("a secret") })
		return nil
	}
	s := newHost(t, HTTPConfig{Server: Config{Add: add}})
	_, plain := s.ask(t, http.MethodPost, "/mcp", s.session(t), callOf(1, "panic", "{}"))
	endpoint, stream := s.sse(t.Context(), t)
	s.post(t, endpoint, "", callOf(1, "panic", "{}"))
	for transport, answer := range map[string]string{"http": plain, "sse": next(t, stream)} {
		if !strings.Contains(answer, "internal error") || strings.Contains(answer, "secret") {
			t.Errorf("%s: %s", transport, answer)
		}
	}
}
