package kubbi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"kubbi-mcp/kubbi/api"
)

const (
	testTraceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	testParent  = "00-" + testTraceID + "-00f067aa0ba902b7-01"
)

func TestTracestate(t *testing.T) {
	members := func(n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf("k%d=v", i))
		}
		return strings.Join(all, ",")
	}
	for s, want := range map[string]bool{
		"rojo=00f067aa0ba902b7":                true,
		"rojo=1,congo=t61rcWkgMzE":             true,
		" rojo=1 ,\tcongo=2, ":                 true,
		"a=1,,b=2":                             true,
		"0tenant@system=1":                     true,
		"a_-*/=!\"#$%&'()*+-./:;<>?@[]^_`{|}~": true,
		"a=with space inside":                  true,
		members(32):                            true,
		"a=" + strings.Repeat("v", 256):        true,
		strings.Repeat("k", 256) + "=v":        true,
		members(33):                            false,
		"a=" + strings.Repeat("v", 257):        false,
		strings.Repeat("k", 257) + "=v":        false,
		"a=" + strings.Repeat("v", 255) + ",b=" + strings.Repeat("v", 255): false, // 514 bytes
		"":                    false,
		" , ":                 false,
		"a":                   false,
		"a=":                  false,
		"=1":                  false,
		"A=1":                 false,
		"_a=1":                false,
		"a b=1":               false,
		"a=1=2":               false,
		"a=1,a=2":             false,
		"a=\x01":              false,
		"a=1\r\nX-Other: 1":   false,
		"a=ü":                 false,
		"a@=1":                false,
		"@a=1":                false,
		"a@b@c=1":             false,
		"a@abcdefghijklmno=1": false,
	} {
		if got := validTracestate(s); got != want {
			t.Errorf("%.80q: got %v", s, got)
		}
	}
}

// TestTraceOnTheWire has the origins that may know a trace get it with every
// attempt, and no other.
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

// TestTraceIsChecked has a trace that is not valid go nowhere.
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
		if h.Get(api.HeaderTraceparent) != tt.parent || h.Get(api.HeaderTracestate) != tt.state {
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
