package transport

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"kubbi-mcp/internal/testkit"
)

// The interfaces that mcp-go looks for in the session of a request.
var (
	_ mcpserver.SessionWithLogging                  = (*Call)(nil)
	_ mcpserver.SessionWithClientInfo               = (*Call)(nil)
	_ mcpserver.SessionWithProtocolVersion          = (*Call)(nil)
	_ interface{ SetProtocolVersion(string) }       = (*Call)(nil)
	_ mcpserver.SessionWithSubscriptionFilter       = (*Call)(nil)
	_ mcpserver.SessionWithResourceSubscriptionsErr = (*Call)(nil)
	_ mcpserver.SessionWithElicitation              = (*Call)(nil)
	_ mcpserver.SessionWithRoots                    = (*Call)(nil)
	_ mcpserver.SessionWithSampling                 = (*Call)(nil)
)

// tool makes a tool that calls f. notify sends a notification.
func tool(name string, f func(ctx context.Context, notify func(i int) error) (string, error)) mcpserver.ServerTool {
	return mcpserver.ServerTool{Tool: mcp.NewTool(name), Handler: func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		text, err := f(ctx, func(i int) error {
			return mcpserver.ServerFromContext(ctx).SendNotificationToClient(ctx, "notifications/test", map[string]any{"i": i})
		})
		if err != nil {
			return nil, err
		}
		return mcp.NewToolResultText(text), nil
	}}
}

// lines sends messages over stdio, and gives the lines that come back.
func lines(t *testing.T, cfg StdioConfig, messages ...string) []string {
	t.Helper()
	var out bytes.Buffer
	in := strings.NewReader(strings.Join(append([]string{initialize}, messages...), "\n"))
	if err := ServeStdio(t.Context(), cfg, in, &out); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")[1:]
}

const callIt = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"it"}}`

// TestNotificationsComeBeforeTheAnswer calls a tool that sends as many notifications as
// may wait, and answers at once.
func TestNotificationsComeBeforeTheAnswer(t *testing.T) {
	for range 50 {
		got := lines(t, testConfig(tool("it", func(_ context.Context, notify func(int) error) (string, error) {
			for i := range maxNotifications {
				if err := notify(i); err != nil {
					return "", err
				}
			}
			return "done", nil
		})), callIt)
		if len(got) != maxNotifications+1 || !strings.Contains(got[maxNotifications], `"id":1`) {
			t.Fatalf("%d lines, the last %s", len(got), got[len(got)-1])
		}
		for i, line := range got[:maxNotifications] {
			if !strings.Contains(line, fmt.Sprintf(`{"i":%d}`, i)) {
				t.Fatalf("notification %d is %s", i, line)
			}
		}
	}
}

// TestLateNotification sends a notification after the answer. It is dropped.
func TestLateNotification(t *testing.T) {
	answered, sent := make(chan struct{}), make(chan error, 1)
	got := lines(t, testConfig(tool("it", func(ctx context.Context, notify func(int) error) (string, error) {
		CallOf(ctx).OnWritten(func(bool) { close(answered) })
		go func() {
			<-answered
			sent <- notify(1)
		}()
		return "done", nil
	})), callIt)
	if err := testkit.Receive(t, sent, "the notification"); err != nil {
		t.Error(err)
	}
	if len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

// TestRequestComesAfterNotifications calls a tool that sends notifications and then asks
// the client.
func TestRequestComesAfterNotifications(t *testing.T) {
	cfg := testConfig(tool("it", func(ctx context.Context, notify func(int) error) (string, error) {
		for i := range 10 {
			if err := notify(i); err != nil {
				return "", err
			}
		}
		roots, err := mcpserver.ServerFromContext(ctx).RequestRoots(ctx, mcp.ListRootsRequest{})
		if err != nil {
			return "", err
		}
		return roots.Roots[0].URI, nil
	}))
	stdin, in := io.Pipe()
	out, stdout := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- ServeStdio(t.Context(), cfg, stdin, stdout) }()
	if _, err := io.WriteString(in, initialize+"\n"+callIt+"\n"); err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(out)
	for i := range 12 {
		var m struct {
			ID     any
			Method string
		}
		if err := dec.Decode(&m); err != nil {
			t.Fatal(err)
		}
		switch {
		case i == 11 && m.Method == "roots/list":
			for _, answer := range []string{`{"jsonrpc":"2.0","id":"kubbi-99","result":{}}`, fmt.Sprintf(`{"jsonrpc":"2.0","id":%q,"result":{"roots":[{"uri":"file:///x"}]}}`, m.ID)} {
				if _, err := io.WriteString(in, answer+"\n"); err != nil {
					t.Fatal(err)
				}
			}
		case i == 11, i > 0 && m.Method != "notifications/test":
			t.Fatalf("message %d is %+v", i, m)
		}
	}
	var last json.RawMessage
	if err := dec.Decode(&last); err != nil || !strings.Contains(string(last), "file:///x") {
		t.Errorf("the answer is %s, %v", last, err)
	}
	in.Close()
	if err := testkit.Receive(t, done, "the end"); err != nil {
		t.Error(err)
	}
}

// TestAnswerToNoRequest sends answers to requests that were not made. They are ignored.
func TestAnswerToNoRequest(t *testing.T) {
	var r clientRequests
	answers := make(chan ClientAnswer, 1)
	id, err := r.add(clientRequest{"x", answers})
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range []string{
		`{"jsonrpc":"2.0","id":1,"result":{}}`,
		`{"jsonrpc":"2.0","id":"` + id + `0","result":{}}`,
		`{"jsonrpc":"2.0","id":"a","method":"ping"}`,
	} {
		m, fault := parse([]byte(in))
		if fault != nil {
			t.Fatal(fault)
		}
		if r.answered(m) {
			t.Errorf("taken: %s", in)
		}
	}
	m, _ := parse([]byte(`{"jsonrpc":"2.0","id":"` + id + `","error":{"code":-5,"message":"a secret"}}`))
	if !r.answered(m) || r.answered(m) {
		t.Error("an answer is not taken once")
	}
	if a := <-answers; a.Err == nil || strings.Contains(a.Err.Error(), "secret") {
		t.Errorf("answered %v", a)
	}
}

// TestTooManyClientRequests makes more requests to the client than may wait.
func TestTooManyClientRequests(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := newSession(ctx, testConfig().Config, Stdio)
	for range MaxClientRequests {
		s.Request("x", nil)
	}
	if a := <-s.Request("x", nil); a.Err == nil {
		t.Error("one more is taken")
	}
	cancel()
	testkit.Receive(t, s.life.Done(), "the end")
	if a := <-s.Request("x", nil); a.Err == nil || errors.Is(a.Err, context.Canceled) {
		t.Errorf("after the end: %v", a.Err)
	}
}
