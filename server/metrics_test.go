package server

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubbi-mcp/kubbi"
)

// scrape reads the metrics as Prometheus does.
func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// counted gives our own metrics that are not zero, without times and the sizes of
// answers, which differ from run to run.
func counted(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "kubbi_mcp_") || strings.HasSuffix(line, " 0") ||
			strings.Contains(line, "_bucket") || strings.Contains(line, "_sum") || strings.Contains(line, "_answer_bytes_") {
			continue
		}
		all = append(all, line)
	}
	return all
}

// TestMetrics checks that calls are counted over every transport.
func TestMetrics(t *testing.T) {
	m := NewMetrics("1.2.3")
	c, _ := newClient(t)
	p := newPeer(t, Config{Client: c, Metrics: m, ToolPrefix: "kubbi_"})
	p.handshake(t)
	p.call(t, "kubbi_list", `{}`)
	p.call(t, "kubbi_list", `{}`)
	p.call(t, "kubbi_list", `{"x":1}`)
	p.call(t, "made-up", `{}`)
	size := func(tool, args string) int {
		return len(`{"jsonrpc":"2.0","id":"call","method":"tools/call","params":{"name":"` + tool + `","arguments":` + args + `}}`)
	}
	bytes := 2*size("kubbi_list", `{}`) + size("kubbi_list", `{"x":1}`) + size("made-up", `{}`)
	want := []string{
		`kubbi_mcp_build_info{version="1.2.3"} 1`,
		`kubbi_mcp_call_duration_seconds_count{tool="list",transport="stdio"} 3`,
		`kubbi_mcp_call_duration_seconds_count{tool="other",transport="stdio"} 1`,
		`kubbi_mcp_calls_total{outcome="bad_arguments",tool="list",transport="stdio"} 1`,
		`kubbi_mcp_calls_total{outcome="ok",tool="list",transport="stdio"} 2`,
		`kubbi_mcp_calls_total{outcome="unknown_tool",tool="other",transport="stdio"} 1`,
		fmt.Sprintf(`kubbi_mcp_request_bytes_total{transport="stdio"} %d`, bytes),
		`kubbi_mcp_sessions{transport="stdio"} 1`,
	}
	if diff := cmp.Diff(want, counted(scrape(t, m))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	p.hangUp(t)
	text := scrape(t, m)
	for _, line := range []string{
		`kubbi_mcp_sessions{transport="stdio"} 0`,
		`kubbi_mcp_refused_total{reason="unauthorized"} 0`,
		`kubbi_mcp_call_duration_seconds_bucket{tool="list",transport="stdio",le="0.0005"}`,
		`kubbi_mcp_call_duration_seconds_bucket{tool="list",transport="stdio",le="30"} 3`,
		`kubbi_mcp_answer_bytes_total{transport="stdio"}`,
		"go_goroutines ",
		"process_cpu_seconds_total ",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("there is no %q", line)
		}
	}
}

// TestMetricsOverHTTP reads calls, sessions and refusals from /metrics.
func TestMetricsOverHTTP(t *testing.T) {
	m := NewMetrics("1.2.3")
	srv := observedHTTP(t, Config{}, m)
	callOverHTTP(t, srv.URL, "list", `{}`, http.Header{})
	callOverSSE(t, srv.URL, "list", `{}`, "")
	post(t, srv.URL+"/mcp", initialize, http.Header{"Origin": {"https://elsewhere.example"}})
	resp, err := http.Get(srv.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("GET /metrics: %s, %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	text := scrape(t, m)
	for _, line := range []string{
		`kubbi_mcp_calls_total{outcome="ok",tool="list",transport="http"} 1`,
		`kubbi_mcp_calls_total{outcome="ok",tool="list",transport="sse"} 1`,
		`kubbi_mcp_sessions{transport="http"} 1`,
		`kubbi_mcp_refused_total{reason="origin"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("there is no %q in\n%s", line, strings.Join(counted(text), "\n"))
		}
	}
}

// TestNoSecretsInLogsAndMetrics checks on each transport that logs and metrics contain no
// payload, token, key or trace state.
func TestNoSecretsInLogsAndMetrics(t *testing.T) {
	const payload, state = "a-payload-that-nobody-may-see", "a-state-that-nobody-may-see"
	var log syncBuffer
	logger := jsonLogger(&log, slog.LevelDebug)
	m := NewMetrics("dev")
	c, relay := newClient(t, kubbi.WithLogger(logger))
	p := newPeer(t, Config{Client: c, Logger: logger, Metrics: m})
	p.handshake(t)
	sent := p.call(t, "send", `{"content":"`+payload+`","max_retrievals":2}`)
	claimURL, _ := sent.Result.StructuredContent["claim_url"].(string)
	token := claimURL[strings.LastIndexByte(claimURL, '/')+1:]
	if token == "" {
		t.Fatal("nothing was sent")
	}
	p.call(t, "claim", fmt.Sprintf(`{"claim_url":%q}`, claimURL))
	p.call(t, "claim", fmt.Sprintf(`{"claim_url":%q,%q:1}`, claimURL, payload))
	p.call(t, token, `{}`)
	p.hangUp(t)
	srv := observedHTTP(t, Config{Logger: logger}, m)
	header := http.Header{"Traceparent": {testParent}, "Tracestate": {"a=" + state}, "Authorization": {"Bearer " + payload}}
	callOverHTTP(t, srv.URL, "claim", fmt.Sprintf(`{"claim_url":%q}`, claimURL), header)
	callOverSSE(t, srv.URL, "send", `{"content":"`+payload+`"}`, "")
	post(t, srv.URL+"/mcp?"+payload, token, header)

	metrics := scrape(t, m)
	if n := len(logLines(t, log.String(), "tool call")); n != 6 || !strings.Contains(metrics, `tool="send",transport="sse"`) {
		t.Fatalf("%d calls are logged:\n%s\n%s", n, log.String(), metrics)
	}
	for name, secret := range map[string]string{
		"payload": payload, "token": token, "API key": relay.APIKey, "state": state, "id": sent.Result.StructuredContent["id"].(string),
	} {
		for where, text := range map[string]string{"log": log.String(), "metrics": metrics} {
			if strings.Contains(text, secret) {
				t.Errorf("the %s in the %s:\n%s", name, where, text)
			}
		}
	}
}

// TestRefusalReasons compares the reasons with those in the code.
func TestRefusalReasons(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	carried, err := filepath.Glob("transport/*.go")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, carried...)
	reason := regexp.MustCompile(`(?:(?:Refuse|Busy)\([\w.]+,\s*|\bReason:\s*|\.[rR]efused\()"([^"]+)"`)
	found := map[string]bool{}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range reason.FindAllSubmatch(b, -1) {
			found[string(m[1])] = true
		}
	}
	got := make([]string, 0, len(found))
	for r := range found {
		got = append(got, r)
	}
	slices.Sort(got)
	if diff := cmp.Diff(refusalReasons(), got); diff != "" {
		t.Errorf("refusalReasons (-) and the code (+) differ:\n%s", diff)
	}
}

// TestNoMetrics checks that nil counts nothing and serves nothing.
func TestNoMetrics(t *testing.T) {
	var m *Metrics
	m.sessionsChanged("http", 1)
	m.streamsChanged("http", 1)
	m.refused("host")
	m.called("http", 1, unknownTool)
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("status %d", w.Code)
	}
}
