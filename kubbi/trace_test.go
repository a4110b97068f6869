package kubbi

import (
	"net/http"
	"strings"
	"testing"

	"kubbi-mcp/internal/tracecontext"
)

const (
	testTraceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	testParent  = "00-" + testTraceID + "-00f067aa0ba902b7-01"
)

// TestTraceOnTheWire: only the named origins receive a trace, with every attempt.
func TestTraceOnTheWire(t *testing.T) {
	var base, own, stranger seen
	handler := func(s *seen) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if s.add(r) == 1 && s == &base {
				cut()
			}
			if r.Method == http.MethodGet {
				answer(w, http.StatusOK, okInspect)
				return
			}
			answer(w, http.StatusCreated, okSent)
		}
	}
	_, ownSrv := serve(t, handler(&own))
	_, strangerSrv := serve(t, handler(&stranger))
	log, logged := logger()
	c, _ := serve(t, handler(&base), WithTraceOrigins(ownSrv.URL), WithAllowedOrigins(ownSrv.URL, strangerSrv.URL), WithLogger(log))

	ctx := WithTrace(t.Context(), Trace{Parent: testParent, State: "rojo=1"})
	if _, err := c.Send(ctx, SendParams{Content: "x"}); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{ownSrv.URL, strangerSrv.URL} {
		if _, err := c.Inspect(ctx, url+"/r/"+testToken); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(base.all()); n != 2 {
		t.Fatalf("%d attempts, want 2", n)
	}
	for _, r := range append(base.all(), own.all()...) {
		if r.header.Get("Traceparent") != testParent || r.header.Get("Tracestate") != "rojo=1" {
			t.Errorf("%s %s: headers %v", r.method, r.path, r.header)
		}
	}
	for _, r := range stranger.all() {
		for name := range r.header {
			if strings.HasPrefix(name, "Trace") {
				t.Errorf("a stranger is told the %s", name)
			}
		}
	}
	if len(own.all()) != 1 || len(stranger.all()) != 1 {
		t.Error("the claim URLs were not asked")
	}
	if !strings.Contains(logged(), `"trace_id":"`+testTraceID+`"`) {
		t.Errorf("the log has no trace id:\n%s", logged())
	}
}

// TestTraceIsChecked: a trace that is not valid is not sent.
func TestTraceIsChecked(t *testing.T) {
	for name, tt := range map[string]struct {
		trace         Trace
		parent, state string
	}{
		"none":        {},
		"bad parent":  {trace: Trace{Parent: testParent + "\r\nX: y", State: "a=1"}},
		"state alone": {trace: Trace{State: "a=1"}},
		"bad state":   {trace: Trace{Parent: testParent, State: "a=1\r\nX: y"}, parent: testParent},
		"later":       {trace: Trace{Parent: "cc" + testParent[2:] + "-x", State: "a=1"}, parent: testParent, state: "a=1"},
	} {
		h := http.Header{}
		traceOf(WithTrace(t.Context(), tt.trace)).setHeaders(h)
		if h.Get(tracecontext.HeaderParent) != tt.parent || h.Get(tracecontext.HeaderState) != tt.state {
			t.Errorf("%s: got %v", name, h)
		}
		if tt.parent == "" && len(h) != 0 {
			t.Errorf("%s: got %v", name, h)
		}
	}
	if _, err := NewClient("", WithTraceOrigins("nothing")); err == nil {
		t.Error("an origin that is none is taken")
	}
}
