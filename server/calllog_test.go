package server

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi"
)

const (
	testTraceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	testParent  = "00-" + testTraceID + "-00f067aa0ba902b7-01"
	inMeta      = `"_meta":{"traceparent":"` + testParent + `","tracestate":"a=1"}`
)

// logLines reads what a JSON logger has written of one message.
func logLines(t *testing.T, log, message string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(log) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if m["msg"] == message {
			all = append(all, m)
		}
	}
	return all
}

func jsonLogger(log io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: level}))
}

// TestCallLine checks that every call over stdio writes one log line with exactly these
// keys.
func TestCallLine(t *testing.T) {
	var log syncBuffer
	c, _ := newClient(t)
	p := newPeer(t, Config{Client: c, Logger: jsonLogger(&log, slog.LevelInfo), ToolPrefix: "kubbi_"})
	p.handshake(t)
	call := func(tool, args, meta string) int {
		line := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":%s%s}}`, tool, args, meta)
		p.send(t, line)
		p.receive(t)
		return len(line)
	}
	sizes := []int{
		call("kubbi_list", `{}`, ""),
		call("kubbi_list", `{"limit":"many"}`, ","+inMeta),
		call("kubbi_claim", `{"claim_url":"`+strings.Repeat("A", 43)+`"}`, ""),
		call("a-tool-that-is-not-there", `{}`, ""),
	}
	// In a version without a handshake, where mcp-go serves the call.
	modern := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"not-there-either","arguments":{},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}`
	p.send(t, modern)
	p.receive(t)
	sizes = append(sizes, len(modern))
	p.hangUp(t)

	keys := []string{"answer_bytes", "duration", "level", "msg", "outcome", "request_bytes", "time", "tool", "transport"}
	want := []struct {
		tool, outcome string
		trace         any
	}{
		{"list", "ok", nil},
		{"list", "bad_arguments", testTraceID},
		{"claim", "not_found", nil},
		{"other", "unknown_tool", nil},
		{"other", "unknown_tool", nil},
	}
	lines := logLines(t, log.String(), "tool call")
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(lines), len(want), log.String())
	}
	for i, w := range want {
		got := lines[i]
		expected := slices.Clone(keys)
		if w.trace != nil {
			expected = append(expected, "trace_id")
		}
		if diff := cmp.Diff(slices.Sorted(slices.Values(expected)), slices.Sorted(maps.Keys(got))); diff != "" {
			t.Errorf("line %d: keys (-want +got):\n%s", i, diff)
		}
		if got["tool"] != w.tool || got["outcome"] != w.outcome || got["trace_id"] != w.trace ||
			got["transport"] != "stdio" || got["level"] != "INFO" || got["request_bytes"] != float64(sizes[i]) {
			t.Errorf("line %d: got %v, want %+v and %d bytes", i, got, w, sizes[i])
		}
		if ours := w.tool != "other"; ours != (got["answer_bytes"].(float64) > 0) || got["duration"].(float64) < 0 {
			t.Errorf("line %d: got %v", i, got)
		}
	}
}

// TestRequestsAreLogged checks that other requests are logged at debug level.
func TestRequestsAreLogged(t *testing.T) {
	var log syncBuffer
	c, _ := newClient(t)
	p := newPeer(t, Config{Client: c, Logger: jsonLogger(&log, slog.LevelDebug)})
	p.handshake(t)
	for _, request := range []string{
		`"method":"prompts/get","params":{"name":"not-there-xyz"}`,
		`"method":"tools/list"`,
		`"method":"not/there-xyz"`,
	} {
		p.send(t, `{"jsonrpc":"2.0","id":1,`+request+`}`)
		p.receive(t)
	}
	p.hangUp(t)
	var got []string
	for _, l := range logLines(t, log.String(), "request served") {
		got = append(got, fmt.Sprint(l["method"], " ", l["transport"], " ", l["ok"]))
	}
	if diff := cmp.Diff([]string{"initialize stdio true", "prompts/get stdio false", "tools/list stdio true"}, got); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(log.String(), "xyz") {
		t.Errorf("the log has what a client made up:\n%s", log.String())
	}
}

// observedHTTP serves MCP over HTTP.
func observedHTTP(t *testing.T, cfg Config, metrics *Metrics) *httptest.Server {
	t.Helper()
	client, _ := newClient(t)
	h, err := NewHTTP(HTTPConfig{
		Server:  cfg,
		Metrics: metrics,
		Connect: func(context.Context, string, string) (*kubbi.Client, error) { return client, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		if err := h.callers.close(); err != nil {
			t.Error(err)
		}
	})
	return srv
}

func post(t *testing.T, url, body string, header http.Header) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header.Clone()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp
}

// callOverHTTP calls a tool over streamable HTTP, in a session.
func callOverHTTP(t *testing.T, url, tool, args string, header http.Header) {
	t.Helper()
	session := post(t, url+"/mcp", initialize, http.Header{}).Header.Get("Mcp-Session-Id")
	header = header.Clone()
	header.Set("Mcp-Session-Id", session)
	resp := post(t, url+"/mcp", fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":%s}}`, tool, args), header)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", tool, resp.Status)
	}
}

// callOverSSE calls a tool over the SSE transport, and ends its stream.
func callOverSSE(t *testing.T, url, tool, args, more string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/sse", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	data := func() string {
		for lines.Scan() {
			if d, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				return d
			}
		}
		t.Fatalf("the stream ended: %v", lines.Err())
		return ""
	}
	endpoint := data()
	if !strings.HasPrefix(endpoint, "http") {
		endpoint = url + endpoint
	}
	post(t, endpoint, initialize, http.Header{})
	data()
	post(t, endpoint, fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":%s%s}}`, tool, args, more), http.Header{})
	data()
}

// TestCallLineOverHTTP checks that the other transports log as stdio does, with the
// trace id of the request.
func TestCallLineOverHTTP(t *testing.T) {
	var log syncBuffer
	srv := observedHTTP(t, Config{Logger: jsonLogger(&log, slog.LevelInfo)}, nil)
	callOverHTTP(t, srv.URL, "list", `{}`, http.Header{"Traceparent": {testParent}})
	callOverSSE(t, srv.URL, "list", `{}`, ","+inMeta)
	lines := logLines(t, log.String(), "tool call")
	if len(lines) != 2 {
		t.Fatalf("%d lines, want 2:\n%s", len(lines), log.String())
	}
	for i, transport := range []string{"http", "sse"} {
		got := lines[i]
		if got["transport"] != transport || got["tool"] != "list" || got["outcome"] != "ok" ||
			got["trace_id"] != testTraceID || got["request_bytes"].(float64) <= 0 {
			t.Errorf("got %v", got)
		}
	}
}

func TestTraceOf(t *testing.T) {
	const other = "00-11111111111111111111111111111111-2222222222222222-00"
	header := http.Header{"Traceparent": {testParent}, "Tracestate": {"a=1", "b=2"}}
	for name, tt := range map[string]struct {
		header http.Header
		meta   string
		want   kubbi.Trace
	}{
		"none":               {},
		"headers":            {header, "", kubbi.Trace{Parent: testParent, State: "a=1,b=2"}},
		"meta":               {nil, `{"traceparent":"` + other + `","tracestate":"c=3"}`, kubbi.Trace{Parent: other, State: "c=3"}},
		"both":               {header, `{"traceparent":"` + other + `"}`, kubbi.Trace{Parent: other}},
		"meta without":       {header, `{"progressToken":1}`, kubbi.Trace{Parent: testParent, State: "a=1,b=2"}},
		"meta not valid":     {header, `{"traceparent":"00-x","tracestate":"c=3"}`, kubbi.Trace{Parent: testParent, State: "a=1,b=2"}},
		"meta of odd kinds":  {nil, `{"traceparent":["` + other + `"]}`, kubbi.Trace{}},
		"odd state":          {nil, `{"traceparent":"` + other + `","tracestate":{"c":3}}`, kubbi.Trace{Parent: other}},
		"meta given twice":   {nil, `{"traceparent":"` + other + `","traceparent":"` + testParent + `"}`, kubbi.Trace{}},
		"meta no object":     {nil, `null`, kubbi.Trace{}},
		"two parents":        {http.Header{"Traceparent": {testParent, other}}, "", kubbi.Trace{}},
		"case of the header": {http.Header{http.CanonicalHeaderKey("traceParent"): {testParent}}, "", kubbi.Trace{Parent: testParent}},
	} {
		if got := traceOf(tt.header, jsontext.Value(tt.meta)); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", name, got, tt.want)
		}
	}
}

// TestTraceReachesTheAPI follows a trace from stdio to the Kubbi API.
func TestTraceReachesTheAPI(t *testing.T) {
	seen := make(chan http.Header, 2)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"kubbis":[],"requests":[]}`)
	}))
	defer api.Close()
	c, err := kubbi.NewClient("kb_test", kubbi.WithBaseURL(api.URL), kubbi.WithRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p := newPeer(t, Config{Client: c})
	p.handshake(t)
	p.send(t, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list","arguments":{},`+inMeta+`}}`)
	p.receive(t)
	for range cap(seen) { // for kubbis, and for requests
		got := testkit.Receive(t, seen, "call of the API")
		if got.Get("Traceparent") != testParent || got.Get("Tracestate") != "a=1" {
			t.Errorf("got %v", got)
		}
	}
}
