package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"go.uber.org/goleak"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hanging is a service that does not answer until the client has gone.
type hanging struct {
	client  *kubbi.Client
	started chan string   // a request's path
	ended   chan struct{} // its context has ended
}

func newHanging(t *testing.T) *hanging {
	h := &hanging{started: make(chan string, 200), ended: make(chan struct{}, 200)}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that the client goes
		h.started <- r.URL.Path
		<-r.Context().Done()
		h.ended <- struct{}{}
	}))
	t.Cleanup(srv.Close)
	var err error
	h.client, err = kubbi.NewClient("kb_test", kubbi.WithBaseURL(srv.URL), kubbi.WithRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.client.Close() })
	return h
}

const hangingCall = `{"jsonrpc":"2.0","id":"h","method":"tools/call","params":{"name":"send","arguments":{"content":"x"}}}`

// TestCancelReachesTheRequest cancels a call: its HTTP request ends, it gets no answer,
// and its id is free again.
func TestCancelReachesTheRequest(t *testing.T) {
	h := newHanging(t)
	p := newPeer(t, Config{Client: h.client})
	p.handshake(t)
	for range 2 {
		p.send(t, hangingCall)
		testkit.Receive(t, h.started, "the request")
		p.send(t, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"h","reason":"test"}}`)
		testkit.Receive(t, h.ended, "its end")
		p.send(t, `{"jsonrpc":"2.0","id":"p","method":"ping"}`)
		if got := parseResult(t, p.receive(t)); string(got.ID) != `"p"` {
			t.Fatalf("answer to %s, want only the ping's", got.ID)
		}
		p.untilFree(t, "h")
	}
	p.hangUp(t)
}

// untilFree waits until an id is free again. A cancelled call gets no answer that would
// show it.
func (p *peer) untilFree(t *testing.T, id string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		p.send(t, `{"jsonrpc":"2.0","id":"`+id+`","method":"ping"}`)
		if parseResult(t, p.receive(t)).Error == nil {
			return
		}
	}
	t.Fatal("the id is never free again")
}

func TestDuplicateID(t *testing.T) {
	h := newHanging(t)
	p := newPeer(t, Config{Client: h.client})
	p.handshake(t)
	p.send(t, hangingCall)
	testkit.Receive(t, h.started, "the request")
	p.send(t, hangingCall)
	if got := parseResult(t, p.receive(t)); got.Error == nil || got.Error.Code != mcp.INVALID_REQUEST {
		t.Errorf("a second request with a running one's id: %+v", got)
	}
	p.cancel()
	testkit.Receive(t, h.ended, "the call's end")
}

// maxCalls is how many calls run at once over stdio.
const maxCalls = 64

// TestParallel runs as many calls as are allowed. One more waits.
func TestParallel(t *testing.T) {
	h := newHanging(t)
	p := newPeer(t, Config{Client: h.client})
	p.handshake(t)
	for i := range maxCalls {
		p.send(t, strings.Replace(hangingCall, `"h"`, fmt.Sprint(i), 1))
	}
	for range maxCalls {
		testkit.Receive(t, h.started, "a request")
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i := range 3 { // until the server ends, which it does with these unread
			_, _ = io.WriteString(p.stdin, strings.Replace(hangingCall, `"h"`, fmt.Sprint(1000+i), 1)+"\n")
		}
	}()
	select {
	case <-h.started:
		t.Error("more calls run at once than may")
	case <-time.After(50 * time.Millisecond): // the test passes if this is too short
	}
	p.cancel()
	for range maxCalls {
		testkit.Receive(t, h.ended, "a request's end")
	}
	testkit.Receive(t, sent, "the end of stdin")
}

// TestCallsInParallel sends and claims in many calls at the same time.
func TestCallsInParallel(t *testing.T) {
	c, _ := newClient(t)
	p := newPeer(t, Config{Client: c})
	p.handshake(t)
	const n = 100
	go func() {
		for i := range n {
			if _, err := fmt.Fprintf(p.stdin, `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"send","arguments":{"content":"number %d","max_retrievals":1}}}`+"\n", i, i); err != nil {
				return
			}
		}
	}()
	urls := make(map[string]string)
	for range n {
		r := parseResult(t, p.receive(t))
		url, _ := r.Result.StructuredContent["claim_url"].(string)
		urls[string(r.ID)] = url
	}
	go func() {
		for id, url := range urls {
			if _, err := fmt.Fprintf(p.stdin, `{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":"claim","arguments":{"claim_url":%q}}}`+"\n", id, url); err != nil {
				return
			}
		}
	}()
	for range n {
		r := parseResult(t, p.receive(t))
		if want := "number " + string(r.ID); r.payload(t) != want {
			t.Errorf("claim %s gives %v", r.ID, r.Result)
		}
	}
	p.hangUp(t)
}

// TestStdinClosedDuringCalls closes stdin while calls run: calls that end in time are answered,
// the others are cancelled.
func TestStdinClosedDuringCalls(t *testing.T) {
	h := newHanging(t)
	s, err := New(Config{Client: h.client})
	if err != nil {
		t.Fatal(err)
	}
	s.eofGrace = 20 * time.Millisecond
	p := connect(t, s)
	p.handshake(t)
	p.send(t, hangingCall)
	testkit.Receive(t, h.started, "the request")
	p.stdin.Close()
	testkit.Receive(t, h.ended, "its end")
	if got := parseResult(t, p.receive(t)); !got.Result.IsError {
		t.Errorf("the call that was cut off gives %+v", got)
	}
	p.wait(t)
}

// TestPipedInput sends everything at once and closes stdin, as printf in a pipe does.
func TestPipedInput(t *testing.T) {
	c, _ := newClient(t)
	s, err := New(Config{Client: c})
	if err != nil {
		t.Fatal(err)
	}
	in := strings.Join([]string{
		initialize,
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"send","arguments":{"content":"x"}}}` + "\r",
		``, "  \r",
		`{"jsonrpc":"2.0","id":2,"method":"tools/list"}`, // without a line's end
	}, "\n")
	var out bytes.Buffer
	if err := s.ServeStdio(t.Context(), strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for line := range strings.Lines(out.String()) {
		r := parseResult(t, []byte(line))
		got[string(r.ID)] = r.Error == nil && !r.Result.IsError
	}
	if len(got) != 3 || !got["0"] || !got["1"] || !got["2"] {
		t.Errorf("answered %v", got)
	}
}

// TestLongMessages sends messages around the longest length.
func TestLongMessages(t *testing.T) {
	testkit.OnlyPlain(t, "one request at a time")
	c, _ := newClient(t)
	p := newPeer(t, Config{Client: c, MaxMessageBytes: 60 << 20})
	p.handshake(t)
	call := func(id, n int) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"send","arguments":{"content":%q}}}`, id, strings.Repeat("x", n))
	}
	p.send(t, call(1, 50<<20)) // read, and refused by the relay
	r := parseResult(t, p.receive(t))
	if !r.Result.IsError || string(r.ID) != "1" || !strings.Contains(r.Result.Content[0].Text, "10485760") {
		t.Errorf("50 MiB: %.500v", r)
	}
	p.send(t, call(2, 61<<20))
	line := p.receive(t)
	if r := parseResult(t, line); r.Error == nil || r.Error.Code != mcp.INVALID_REQUEST || string(r.ID) != "2" || !bytes.Contains(line, []byte("60 MiB")) {
		t.Errorf("61 MiB: %s", line)
	}
	p.send(t, `{"method":"ping","params":{"_meta":{"x":"`+strings.Repeat("x", 61<<20)+`"}},"jsonrpc":"2.0","id":"behind"}`)
	if r := parseResult(t, p.receive(t)); r.Error == nil || string(r.ID) != `"behind"` {
		t.Errorf("61 MiB, with the id behind: %+v", r)
	}
	p.send(t, call(3, 10<<20))
	if r := parseResult(t, p.receive(t)); r.Result.IsError || string(r.ID) != "3" {
		t.Errorf("10 MiB: %.500v", r)
	}
	p.hangUp(t)
}

// TestLargeClaim claims large payloads of every kind unchanged.
func TestLargeClaim(t *testing.T) {
	c, _ := newClient(t)
	p := newPeer(t, Config{Client: c, MaxInline: 10 << 20})
	p.handshake(t)
	text := strings.Repeat("line with \"quotes\", \\ and ümlaut \u2028\n", 30_000)
	quoted, _ := json.Marshal(text)
	numbers := "[" + strings.Repeat("1,", 200_000) + "2]"
	for name, tt := range map[string]struct{ content, want string }{
		"text": {string(quoted), text},
		"JSON": {numbers, numbers},
	} {
		t.Run(name, func(t *testing.T) {
			sent := p.call(t, "send", `{"content":`+tt.content+`}`)
			got := p.call(t, "claim", fmt.Sprintf(`{"claim_url":%q}`, sent.Result.StructuredContent["claim_url"]))
			if got.payload(t) != tt.want {
				t.Errorf("claimed %.200v", got.Result)
			}
		})
	}
	p.hangUp(t)
}

// TestPanic checks that a panic in a tool is answered without details, and that the log
// does not show the panic's value.
func TestPanic(t *testing.T) {
	c, _ := newClient(t)
	var log syncBuffer
	s, err := New(Config{Client: c, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	s.mcp.AddTool(mcp.NewTool("boom"), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		panic("the secret payload")
	})
	s.mcp.AddPrompt(mcp.NewPrompt("boom"), func(context.Context, mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		panic(fmt.Sprint("the secret ", "payload"))
	})
	p := connect(t, s)
	p.handshake(t)
	for _, method := range []string{"tools/call", "prompts/get"} {
		p.send(t, `{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":{"name":"boom"}}`)
		line := p.receive(t)
		if r := parseResult(t, line); r.Error == nil || r.Error.Code != mcp.INTERNAL_ERROR || bytes.Contains(line, []byte("secret")) || bytes.Contains(line, []byte("goroutine")) {
			t.Errorf("%s: %s", method, line)
		}
	}
	p.hangUp(t)
	if got := log.String(); strings.Contains(got, "secret") || strings.Count(got, "panic=string") != 2 {
		t.Errorf("log: %s", got)
	}
}

// TestNotifications checks that the server's own notifications reach the client.
func TestNotifications(t *testing.T) {
	c, _ := newClient(t)
	s, err := New(Config{Client: c})
	if err != nil {
		t.Fatal(err)
	}
	p := connect(t, s)
	p.handshake(t)
	p.send(t, `{"jsonrpc":"2.0","id":1,"method":"ping"}`)
	p.receive(t)
	s.mcp.SendNotificationToAllClients("notifications/test", map[string]any{"a": 1})
	if got := string(p.receive(t)); got != `{"jsonrpc":"2.0","method":"notifications/test","params":{"a":1}}`+"\n" {
		t.Errorf("got %s", got)
	}
	p.hangUp(t)
}

// TestWithoutTransport calls a tool through mcp-go alone, without a transport of ours.
func TestWithoutTransport(t *testing.T) {
	c, _ := newClient(t)
	s, err := New(Config{Client: c})
	if err != nil {
		t.Fatal(err)
	}
	answer := func(line string) []byte {
		b, err := json.Marshal(s.mcp.HandleMessage(t.Context(), json.RawMessage(line)))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	sent := parseResult(t, answer(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"send","arguments":{"content":{"a":[1,"b"]}}}}`))
	got := parseResult(t, answer(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"claim","arguments":{"claim_url":%q}}}`, sent.Result.StructuredContent["claim_url"])))
	if got.payload(t) != `{"a":[1,"b"]}` {
		t.Errorf("claimed %+v", got)
	}
}

// TestNoSecretsInLog makes every call once at debug level and searches the log for
// secrets.
func TestNoSecretsInLog(t *testing.T) {
	var log syncBuffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c, relay := newClient(t, kubbi.WithLogger(logger))
	p := newPeer(t, Config{Client: c, Logger: logger})
	p.handshake(t)
	const payload = "a-payload-that-nobody-may-see"
	sent := p.call(t, "send", `{"content":"`+payload+`","max_retrievals":1,"metadata":{"a":"`+payload+`"}}`)
	claimURL, _ := sent.Result.StructuredContent["claim_url"].(string)
	token := claimURL[strings.LastIndexByte(claimURL, '/')+1:]
	quoted := fmt.Sprintf(`{"claim_url":%q}`, claimURL)
	p.call(t, "inspect", quoted)
	p.call(t, "claim", quoted)
	p.call(t, "claim", quoted)
	p.call(t, "claim", fmt.Sprintf(`{"claim_url":%q,"%s":1}`, claimURL, payload))
	p.call(t, "send_files", `{"files":[{"name":"a.txt","content":"`+payload+`"},{"name":"a.txt","content":"`+payload+`"}]}`)
	p.call(t, "get", fmt.Sprintf(`{"id":%q}`, claimURL))
	p.send(t, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+token+`"}}`)
	p.receive(t)
	p.send(t, `{"jsonrpc":"2.0","id":"`+token+`","result":"`+payload+`"}`)
	p.hangUp(t)
	got := log.String()
	if strings.Count(got, "tool call") < 7 {
		t.Errorf("the calls are not logged at all:\n%s", got)
	}
	for name, secret := range map[string]string{"payload": payload, "token": token, "API key": relay.APIKey} {
		if strings.Contains(got, secret) {
			t.Errorf("the log has the %s:\n%s", name, got)
		}
	}
}

// syncBuffer is a buffer for a logger.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestNewChecksItsConfig(t *testing.T) {
	c, _ := newClient(t)
	for name, cfg := range map[string]Config{
		"no client":      {},
		"prefix":         {Client: c, ToolPrefix: "has space "},
		"negative limit": {Client: c, MaxMessageBytes: -1},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
