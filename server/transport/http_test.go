package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"kubbi-mcp/internal/testkit"
)

// site is an endpoint that is served, and a client of it.
type site struct {
	*httptest.Server
	http     *HTTP
	endpoint *Endpoint
	mcp      *mcpserver.MCPServer
}

// serve serves an endpoint over HTTP/1.1, or over HTTP/2.
func serve(t *testing.T, http2 bool, limits Limits, tools ...mcpserver.ServerTool) *site {
	t.Helper()
	cfg := testConfig(tools...).Config
	h := NewHTTP(HTTPConfig{Limits: limits})
	e := h.NewEndpoint(cfg)
	mux := http.NewServeMux()
	mux.HandleFunc("/mcp", e.ServeStreamable)
	mux.HandleFunc("GET /sse", e.ServeSSE)
	mux.HandleFunc("POST /message", e.ServeMessage)
	s := &site{Server: httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.Begin(w, r)
		mux.ServeHTTP(w, r)
	})), http: h, endpoint: e, mcp: cfg.MCP}
	if s.EnableHTTP2 = http2; http2 {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(func() {
		h.Drain()
		e.Close()
		s.Close()
	})
	return s
}

func (s *site) do(ctx context.Context, t *testing.T, method, path, body string, header ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func (s *site) ask(t *testing.T, method, path, body string, header ...string) (status int, answer string) {
	t.Helper()
	resp := s.do(t.Context(), t, method, path, body, header...)
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func (s *site) session(t *testing.T) string {
	t.Helper()
	resp := s.do(t.Context(), t, http.MethodPost, "/mcp", initialize)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Mcp-Session-Id") == "" {
		t.Fatal(resp.Status)
	}
	return resp.Header.Get("Mcp-Session-Id")
}

// events gives the data of a stream's events.
func events(body io.Reader) <-chan string {
	c := make(chan string, 1000)
	go func() {
		defer close(c)
		for lines := bufio.NewScanner(body); lines.Scan(); {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				c <- data
			}
		}
	}()
	return c
}

func overBoth(t *testing.T, test func(t *testing.T, http2 bool)) {
	t.Run("HTTP/1.1", func(t *testing.T) { test(t, false) })
	t.Run("HTTP/2", func(t *testing.T) { test(t, true) })
}

var notifying = tool("it", func(_ context.Context, notify func(int) error) (string, error) {
	for i := range maxNotifications {
		if err := notify(i); err != nil {
			return "", err
		}
	}
	return "done", nil
})

// TestHTTPOrder calls a tool that sends notifications and answers at once.
func TestHTTPOrder(t *testing.T) {
	overBoth(t, func(t *testing.T, http2 bool) {
		s := serve(t, http2, Limits{}, notifying)
		id := s.session(t)
		for range 20 {
			resp := s.do(t.Context(), t, http.MethodPost, "/mcp", callIt, "Mcp-Session-Id", id)
			if (resp.ProtoMajor == 2) != http2 || resp.Header.Get("Content-Type") != "text/event-stream" {
				t.Fatal(resp.Proto, resp.Header)
			}
			got := 0
			for e := range events(resp.Body) {
				want := fmt.Sprintf(`{"i":%d}`, got)
				if got == maxNotifications {
					want = `"id":1,"result"`
				}
				if !strings.Contains(e, want) {
					t.Fatalf("event %d is %s", got, e)
				}
				got++
			}
			if got != maxNotifications+1 {
				t.Fatalf("%d events", got)
			}
		}
	})
}

// TestHTTPSlowReader calls a tool that sends more than the client reads before it stalls.
func TestHTTPSlowReader(t *testing.T) {
	overBoth(t, func(t *testing.T, http2 bool) {
		ended := make(chan bool, 1)
		s := serve(t, http2, Limits{StallTimeout: 200 * time.Millisecond}, tool("it", func(ctx context.Context, _ func(int) error) (string, error) {
			CallOf(ctx).OnWritten(func(written bool) { ended <- written })
			for ctx.Err() == nil {
				// The client never answers, and takes only so much.
				asking, cancel := context.WithTimeout(ctx, time.Millisecond)
				_, err := mcpserver.ServerFromContext(ctx).RequestElicitation(asking, mcp.ElicitationRequest{Params: mcp.ElicitationParams{
					Message: strings.Repeat("x", 1<<18), RequestedSchema: map[string]any{"type": "object"},
				}})
				cancel()
				if err != nil && !errors.Is(err, context.DeadlineExceeded) {
					return "", err
				}
			}
			return "", ctx.Err()
		}))
		resp := s.do(t.Context(), t, http.MethodPost, "/mcp", callIt, "Mcp-Session-Id", s.session(t))
		if testkit.Receive(t, ended, "the end of the call") {
			t.Error("its answer counts as written")
		}
		resp.Body.Close()
	})
}

// TestUpdatesWaitForAStream changes a resource while its session has no stream. The update
// comes once, on the next stream.
func TestUpdatesWaitForAStream(t *testing.T) {
	overBoth(t, func(t *testing.T, http2 bool) {
		s := serve(t, http2, Limits{})
		id := s.session(t)
		session := s.endpoint.session(id, StreamableHTTP)
		for _, uri := range []string{"test://a", "test://b"} {
			session.ResourceUpdated(uri)
			session.ResourceUpdated(uri)
			ctx, cancel := context.WithCancel(t.Context())
			stream := events(s.do(ctx, t, http.MethodGet, "/mcp", "", "Mcp-Session-Id", id).Body)
			if e := testkit.Receive(t, stream, "the update"); !strings.Contains(e, uri) {
				t.Errorf("got %s, want %s", e, uri)
			}
			cancel()
			for e := range stream {
				t.Errorf("more: %s", e)
			}
			for !session.idleSince(time.Now().Add(time.Hour)) { // the server has noticed
				time.Sleep(time.Millisecond)
			}
		}
	})
}

// TestBroadcastOnOneStream sends broadcasts to a session. Each comes on one of its streams
// only, and is dropped if there is none.
func TestBroadcastOnOneStream(t *testing.T) {
	s := serve(t, false, Limits{})
	id := s.session(t)
	s.mcp.SendNotificationToAllClients("notifications/lost", nil)
	one := events(s.do(t.Context(), t, http.MethodGet, "/mcp", "", "Mcp-Session-Id", id).Body)
	two := events(s.do(t.Context(), t, http.MethodGet, "/mcp", "", "Mcp-Session-Id", id).Body)
	const n = maxBroadcasts
	for i := range n {
		s.mcp.SendNotificationToAllClients("notifications/test", map[string]any{"i": i})
	}
	for range n {
		select {
		case e := <-one:
			if !strings.Contains(e, "notifications/test") {
				t.Error(e)
			}
		case e := <-two:
			if !strings.Contains(e, "notifications/test") {
				t.Error(e)
			}
		case <-time.After(patience):
			t.Fatal("a broadcast is lost")
		}
	}
	s.endpoint.Close()
	for e := range one {
		t.Errorf("more: %s", e)
	}
	for e := range two {
		t.Errorf("more: %s", e)
	}
}

// TestListen makes a subscriptions/listen request. The notifications of its stream have the
// request's id, exactly as it came, and the stream ends with an answer when the server ends.
func TestListen(t *testing.T) {
	overBoth(t, func(t *testing.T, http2 bool) {
		s := serve(t, http2, Limits{MaxSessions: 1})
		const id = `12345678901234567890123`
		listen := `{"jsonrpc":"2.0","id":` + id + `,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},` +
			`"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`
		header := []string{"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "subscriptions/listen"}
		stream := events(s.do(t.Context(), t, http.MethodPost, "/mcp", listen, header...).Body)
		const tag = `"io.modelcontextprotocol/subscriptionId":` + id
		if e := testkit.Receive(t, stream, "the acknowledgement"); !strings.Contains(e, "acknowledged") || !strings.Contains(e, tag) {
			t.Errorf("got %s", e)
		}
		if status, answer := s.ask(t, http.MethodPost, "/mcp", listen, header...); status != http.StatusTooManyRequests {
			t.Errorf("a second stream: %d %s", status, answer)
		}
		s.mcp.SendNotificationToAllClients("notifications/not/wanted", nil)
		s.mcp.SendNotificationToAllClients(mcp.MethodNotificationToolsListChanged, nil)
		if e := testkit.Receive(t, stream, "the broadcast"); !strings.Contains(e, "list_changed") || !strings.Contains(e, tag) {
			t.Errorf("got %s", e)
		}
		s.http.Drain()
		if e := testkit.Receive(t, stream, "the end"); !strings.Contains(e, `"id":`+id+`,"result"`) || !strings.Contains(e, tag) {
			t.Errorf("got %s", e)
		}
		for e := range stream {
			t.Errorf("more: %s", e)
		}
	})
}

// changing is a Handler of a resource that changes as soon as it has a subscriber.
type changing struct{ dispatcher }

func (changing) Subscribe(_ context.Context, c *Call, uri string) error {
	c.ResourceUpdated(uri)
	c.ResourceUpdated(uri)
	return nil
}

// TestUpdateBeforeAcknowledgement listens to resources that change before the request is
// acknowledged. The updates come once each, after the acknowledgement.
func TestUpdateBeforeAcknowledgement(t *testing.T) {
	cfg := testConfig()
	mcpserver.WithResourceCapabilities(true, false)(cfg.MCP)
	cfg.Handler = changing{}
	got := lines(t, cfg, `{"jsonrpc":"2.0","id":7,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["x://1","x://2"]},`+
		`"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`)
	want := []string{"acknowledged", `"uri":"x://1"`, `"uri":"x://2"`, `"id":7,"result"`}
	if len(got) != len(want) {
		t.Fatalf("got %q", got)
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("line %d is %s", i, got[i])
		}
	}
}

// refusing is a Handler that fails every call.
type refusing struct{ dispatcher }

func (refusing) Handle(_ context.Context, c *Call) mcp.JSONRPCMessage {
	c.Fail(&Error{Code: -1, Message: "refused"})
	return nil
}

// TestInitializeThatFails leaves no session behind.
func TestInitializeThatFails(t *testing.T) {
	s := serve(t, false, Limits{})
	s.endpoint.cfg.Handler = refusing{}
	resp := s.do(t.Context(), t, http.MethodPost, "/mcp", initialize)
	b, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(b), "refused") || resp.Header.Get("Mcp-Session-Id") != "" {
		t.Errorf("%s, %v, %v", b, resp.Header, err)
	}
	testkit.Await(t, "the end of the session", func() bool { return s.endpoint.Sessions() == 0 })
}

// leaving is a Handler whose client leaves before each answer.
type leaving struct {
	dispatcher
	leave func()
}

func (l leaving) Handle(ctx context.Context, c *Call) mcp.JSONRPCMessage {
	l.leave()
	<-ctx.Done()
	return c.Dispatch(ctx)
}

// TestInitializeWithoutClient leaves no session behind: the client does not know its id.
func TestInitializeWithoutClient(t *testing.T) {
	overBoth(t, func(t *testing.T, http2 bool) {
		s := serve(t, http2, Limits{})
		ctx, cancel := context.WithCancel(t.Context())
		opened := false
		s.endpoint.cfg.Handler = leaving{leave: func() {
			opened = s.endpoint.Sessions() == 1
			cancel()
		}}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/mcp", strings.NewReader(initialize))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if resp, err := s.Client().Do(req); err == nil {
			resp.Body.Close()
			t.Fatal("the client has stayed")
		}
		testkit.Await(t, "the end of the session", func() bool { return s.endpoint.Sessions() == 0 })
		if !opened {
			t.Error("there was no session")
		}
	})
}

// TestVersionHeaders sends versions that do not exist, and headers that contradict the
// message. They are refused.
func TestVersionHeaders(t *testing.T) {
	s := serve(t, false, Limits{})
	id := s.session(t)
	modern := func(version string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"` + version + `","io.modelcontextprotocol/clientCapabilities":{}}}}`
	}
	const list = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	for name, tt := range map[string]struct {
		method, body string
		header       []string
		status       int
		says         string
	}{
		"legacy":               {http.MethodPost, list, []string{"Mcp-Session-Id", id, "Mcp-Protocol-Version", "2025-06-18"}, 200, "result"},
		"unknown":              {http.MethodPost, list, []string{"Mcp-Session-Id", id, "Mcp-Protocol-Version", "1999-01-01"}, 400, "supported"},
		"unknown, a stream":    {http.MethodGet, "", []string{"Mcp-Session-Id", id, "Mcp-Protocol-Version", "1999-01-01"}, 400, "supported"},
		"unknown, the end":     {http.MethodDelete, "", []string{"Mcp-Session-Id", id, "Mcp-Protocol-Version", "1999-01-01"}, 400, "supported"},
		"modern":               {http.MethodPost, modern("2026-07-28"), []string{"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/list"}, 200, "result"},
		"modern, unknown":      {http.MethodPost, modern("2099-01-01"), []string{"Mcp-Protocol-Version", "2099-01-01", "Mcp-Method", "tools/list"}, 400, "supported"},
		"no header":            {http.MethodPost, modern("2026-07-28"), nil, 400, "Mcp-Protocol-Version"},
		"no _meta":             {http.MethodPost, list, []string{"Mcp-Protocol-Version", "2026-07-28"}, 400, "_meta"},
		"different":            {http.MethodPost, modern("2025-06-18"), []string{"Mcp-Protocol-Version", "2026-07-28"}, 400, "different"},
		"another method":       {http.MethodPost, modern("2026-07-28"), []string{"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "ping"}, 400, "Mcp-Method"},
		"resumed":              {http.MethodPost, modern("2026-07-28"), []string{"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/list", "Last-Event-ID", "1"}, 400, "resumed"},
		"an answer":            {http.MethodPost, `{"jsonrpc":"2.0","id":1,"result":{}}`, []string{"Mcp-Protocol-Version", "2026-07-28"}, 400, "answer"},
		"a modern stream":      {http.MethodGet, "", []string{"Mcp-Protocol-Version", "2026-07-28"}, 405, "listen"},
		"a modern end":         {http.MethodDelete, "", []string{"Mcp-Protocol-Version", "2026-07-28", "Mcp-Session-Id", id}, 405, "no sessions"},
		"a modern cancel":      {http.MethodPost, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`, []string{"Mcp-Protocol-Version", "2026-07-28"}, 202, ""},
		"unknown method":       {http.MethodPost, strings.Replace(modern("2026-07-28"), "tools/list", "no/such", 1), []string{"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "no/such"}, 404, "error"},
		"another content type": {http.MethodPost, list, []string{"Mcp-Session-Id", id, "Content-Type", "text/plain"}, 400, "Content-Type"},
	} {
		if status, answer := s.ask(t, tt.method, "/mcp", tt.body, tt.header...); status != tt.status || !strings.Contains(answer, tt.says) {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
}

// TestRefusedOnce counts the refusals of messages that can't be read, over SSE: the answer
// to one is on the stream, that to the other is the status.
func TestRefusedOnce(t *testing.T) {
	refused := 0
	h := NewHTTP(HTTPConfig{Refused: func(string) { refused++ }})
	e := h.NewEndpoint(testConfig().Config)
	defer h.Drain()
	defer e.Close()
	s, p := e.open(SSE)
	if p != nil {
		t.Fatal(p.Message)
	}
	for body, want := range map[string]int{
		`{"jsonrpc":"1.0","id":7,"method":"ping"}`: http.StatusAccepted,
		`[]`: http.StatusBadRequest,
	} {
		before, w := refused, httptest.NewRecorder()
		e.ServeMessage(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/message?sessionId="+s.id, strings.NewReader(body)))
		if w.Code != want || refused != before+1 {
			t.Errorf("%s: status %d, counted %d times", body, w.Code, refused-before)
		}
	}
}
