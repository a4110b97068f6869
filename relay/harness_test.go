package relay_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/relaytest"
)

var start = time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)

// rig is a relay whose clock moves only by Advance.
type rig struct {
	*relaytest.Server
	t testing.TB
}

func newRig(t testing.TB, opts ...relaytest.Option) rig {
	t.Helper()
	return rig{relaytest.New(t, append([]relaytest.Option{relaytest.WithClock(relaytest.StoppedAt(start))}, opts...)...), t}
}

// answer is a whole HTTP answer.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// call sends a request. Headers come in pairs; a producer path gets the API
// key unless Authorization is among them.
func (r rig) call(method, path, body string, headers ...string) answer {
	r.t.Helper()
	var src io.Reader
	if body != "" {
		src = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.URL+path, src)
	if err != nil {
		r.t.Fatal(err)
	}
	if strings.HasPrefix(path, "/api/") {
		req.Header.Set("Authorization", "Bearer "+r.APIKey)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "" {
			req.Header.Del(headers[i])
		} else {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(req) // follows no redirect
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{resp.StatusCode, resp.Header, b}
}

// create makes a kubbi.
func (r rig) create(body string, headers ...string) api.CreateResponse {
	r.t.Helper()
	a := r.call("POST", api.PathKubbis, body, headers...)
	if a.status != http.StatusCreated {
		r.t.Fatalf("create: %d %.300s", a.status, a.body)
	}
	var c api.CreateResponse
	decode(r.t, a.body, &c)
	return c
}

func (r rig) text(content string, more string) api.CreateResponse {
	r.t.Helper()
	q, err := json.Marshal(content)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.create(`{"content":` + string(q) + `,"content_type":"text/plain","ttl_seconds":3600` + more + `}`)
}

func (r rig) claim(token string, headers ...string) answer {
	r.t.Helper()
	return r.call("POST", "/r/"+token+"/claim", "", headers...)
}

func decode(t testing.TB, b []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%v: %.300s", err, b)
	}
}

// wantJSON compares an answer with JSON, every key, null and number, and checks the
// headers that every answer has.
func wantJSON(t testing.TB, a answer, status int, want string) {
	t.Helper()
	if a.status != status {
		t.Errorf("status %d, want %d: %.300s", a.status, status, a.body)
	}
	if diff := cmp.Diff(tree(t, []byte(want)), tree(t, a.body)); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if got := a.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type is %q", got)
	}
}

func tree(t testing.TB, b []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v: %.300s", err, b)
	}
	return v
}

// wantError checks an error answer's status, code and whole envelope.
func wantError(t testing.TB, a answer, code api.Code, message string) {
	t.Helper()
	var e map[string]any
	decode(t, a.body, &e)
	text, _ := e["message"].(string)
	if a.status != api.Statuses[code] || e["error"] != string(code) || !strings.Contains(text, message) {
		t.Errorf("answer is %d %s, want %s with %q", a.status, a.body, code, message)
	}
	_, has := e["messages"]
	if has != (code == api.CodeValidation) || len(e) != 2 && !has {
		t.Errorf("%s has the wrong members: %s", code, a.body)
	}
}
