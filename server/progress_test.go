package server

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/kubbi"
)

// progressNote is a progress notification as a client sees it.
type progressNote struct {
	Method string
	Params struct {
		ProgressToken json.RawMessage
		Progress      int64
		Total         int64
	}
}

// wantProgress checks that progress begins at 0, increases and ends with the total.
func wantProgress(t *testing.T, notes []string, token string, atLeast int64) {
	t.Helper()
	last, total := int64(-1), int64(0)
	for i, n := range notes {
		var p progressNote
		if err := json.Unmarshal([]byte(n), &p); err != nil {
			t.Fatal(err)
		}
		if p.Method != "notifications/progress" || string(p.Params.ProgressToken) != token || p.Params.Progress <= last || i == 0 && p.Params.Progress != 0 {
			t.Errorf("after %d: %s", last, n)
		}
		last, total = p.Params.Progress, p.Params.Total
	}
	if last < atLeast || last != total {
		t.Errorf("the last of %d is %d of %d, want all of at least %d", len(notes), last, total, atLeast)
	}
}

func callWith(tool, args, meta string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":%s,"_meta":{%s}}}`, tool, args, meta)
}

// TestProgress checks the progress of sends and claims, which only a client that asks
// for it gets.
func TestProgress(t *testing.T) {
	overEach(t, func(t *testing.T, c *client) {
		const size = 2 << 20
		text := `"` + strings.Repeat("x", size) + `"`
		for _, args := range []struct{ tool, args string }{
			{"send", `{"content":` + text + `}`},
			{"send_files", `{"files":[{"name":"a.txt","content":` + text + `}]}`},
		} {
			notes, answer := c.ask(t, callWith(args.tool, args.args, `"progressToken":"a b"`))
			wantProgress(t, notes, `"a b"`, size)
			if !strings.Contains(answer, "claim_url") {
				t.Errorf("%s: %s", args.tool, answer)
			}
			if notes, _ := c.ask(t, callWith(args.tool, args.args, ``)); notes != nil {
				t.Errorf("unasked for: %v", notes)
			}
		}
		const less = 20_000
		sent, err := c.kubbi.Send(t.Context(), kubbi.SendParams{Content: text[:less]})
		if err != nil {
			t.Fatal(err)
		}
		notes, answer := c.ask(t, callWith("claim", fmt.Sprintf(`{"claim_url":%q}`, sent.ClaimURL), `"progressToken":7`))
		wantProgress(t, notes, `7`, less)
		if len(answer) < less {
			t.Errorf("claimed %.300s", answer)
		}
		if notes, _ := c.ask(t, callWith("get", `{"id":"00000000-0000-4000-8000-000000000000"}`, `"progressToken":8`)); notes != nil {
			t.Errorf("of a call without a payload: %v", notes)
		}
	})
}

// TestProgressWithoutHandshake checks progress in the version without a handshake.
func TestProgressWithoutHandshake(t *testing.T) {
	c, _ := newClient(t)
	p := newPeer(t, Config{Client: c, MaxInline: 10 << 20})
	p.send(t, callWith("send", `{"content":"`+strings.Repeat("x", 1<<20)+`"}`, modern[len(`"_meta":{`):len(modern)-1]+`,"progressToken":"t"`))
	notes, answer := untilAnswer(func() string { return string(p.receive(t)) })
	wantProgress(t, notes, `"t"`, 1<<20)
	url, _ := parseResult(t, []byte(answer)).Result.StructuredContent["claim_url"].(string)
	p.send(t, callWith("claim", fmt.Sprintf(`{"claim_url":%q}`, url), modern[len(`"_meta":{`):len(modern)-1]+`,"progressToken":"u"`))
	notes, _ = untilAnswer(func() string { return string(p.receive(t)) })
	wantProgress(t, notes, `"u"`, 1<<20)
	p.hangUp(t)
}

// channelSession is a session that keeps its notifications.
type channelSession chan mcp.JSONRPCNotification

func (channelSession) Initialize()                                           {}
func (channelSession) Initialized() bool                                     { return true }
func (channelSession) SessionID() string                                     { return "1" }
func (s channelSession) NotificationChannel() chan<- mcp.JSONRPCNotification { return s }

// TestProgressIsThrottled checks that many small steps cause few notifications.
func TestProgressIsThrottled(t *testing.T) {
	c, _ := newClient(t)
	s, err := New(Config{Client: c})
	if err != nil {
		t.Fatal(err)
	}
	session := make(channelSession, 100)
	p := &progress{server: s.mcp, ctx: s.mcp.WithContext(t.Context(), session), token: "x", done: -1}
	const steps = 100_000
	start := time.Now()
	for i := range steps + 1 {
		p.report(int64(i), steps)
	}
	p.report(0, steps) // another attempt
	p.report(steps, steps)
	most := 2 + int(time.Since(start)/progressInterval)
	if n := len(session); n < 2 || n > most {
		t.Errorf("notified %d times, want 2 to %d", n, most)
	}
}

// TestLogMessages checks that a client which asks for log messages gets one for each
// call, without content.
func TestLogMessages(t *testing.T) {
	overEach(t, func(t *testing.T, c *client) {
		const nobodys = `{"id":"00000000-0000-4000-8000-000000000000"}`
		call := func(tool, args string) []string {
			t.Helper()
			notes, _ := c.ask(t, callWith(tool, args, ``))
			return notes
		}
		level := func(l string) {
			t.Helper()
			if _, answer := c.ask(t, `{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"`+l+`"}}`); answer != `{"jsonrpc":"2.0","id":1,"result":{}}` {
				t.Errorf("set level: %s", answer)
			}
		}
		want := func(notes []string, level, tool, outcome string) {
			t.Helper()
			if len(notes) != 1 {
				t.Fatalf("%s: %v", tool, notes)
			}
			var m struct {
				Method string
				Params struct {
					Level, Logger string
					Data          map[string]any
				}
			}
			if err := json.Unmarshal([]byte(notes[0]), &m); err != nil {
				t.Fatal(err)
			}
			d := m.Params.Data
			if _, timed := d["duration_ms"].(float64); m.Method != "notifications/message" || m.Params.Level != level || m.Params.Logger != "kubbi-mcp" || d["tool"] != tool || d["outcome"] != outcome || len(d) != 3 || !timed {
				t.Errorf("logged %s", notes[0])
			}
		}
		if notes := append(call("send", `{"content":"x"}`), call("get", nobodys)...); notes != nil {
			t.Errorf("unasked for: %v", notes)
		}
		level("debug")
		want(call("send", `{"content":"a secret"}`), "debug", "send", "ok")
		want(call("get", nobodys), "warning", "get", "not_found")
		if notes := call("get", `{"id":5}`); notes != nil {
			t.Errorf("of wrong arguments: %v", notes)
		}
		level("warning")
		if notes := call("send", `{"content":"x"}`); notes != nil {
			t.Errorf("below the level: %v", notes)
		}
		want(call("get", nobodys), "warning", "get", "not_found")
		if _, answer := c.ask(t, `{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"loud"}}`); !strings.Contains(answer, "-32602") {
			t.Errorf("an unknown level: %s", answer)
		}
	})
}

// TestLogLevelWithoutHandshake sets the level in each request, as in the version without a
// handshake.
func TestLogLevelWithoutHandshake(t *testing.T) {
	c, _ := newClient(t)
	p := newPeer(t, Config{Client: c})
	meta := modern[len(`"_meta":{`) : len(modern)-1]
	ask := func(meta string) []string {
		p.send(t, callWith("get", `{"id":"00000000-0000-4000-8000-000000000000"}`, meta))
		notes, _ := untilAnswer(func() string { return string(p.receive(t)) })
		return notes
	}
	if notes := ask(meta); notes != nil {
		t.Errorf("unasked for: %v", notes)
	}
	if notes := ask(meta + `,"io.modelcontextprotocol/logLevel":"info"`); len(notes) != 1 || !strings.Contains(notes[0], `"outcome":"not_found"`) {
		t.Errorf("logged %v", notes)
	}
	if notes := ask(meta + `,"io.modelcontextprotocol/logLevel":"error"`); notes != nil {
		t.Errorf("below the level: %v", notes)
	}
	p.hangUp(t)
}

// TestLogMessageNotTaken makes a call for a client that takes no notifications.
func TestLogMessageNotTaken(t *testing.T) {
	c, _ := newClient(t)
	s, err := New(Config{Client: c})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var req mcp.CallToolRequest
	req.Params.Meta = &mcp.Meta{ProgressToken: "x"}
	setArguments(&req, []byte(`{"content":"x"}`))
	if res, err := s.withProgress(s.mcp.GetTool("send").Handler)(ctx, req); err != nil || !res.IsError {
		t.Errorf("a call that was cancelled: %v, %v", res, err)
	}
}

var _ kubbi.Progress = (*progress)(nil).report
