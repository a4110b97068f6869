package service

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
)

// TestMetrics checks that the metrics count requests and show nothing that was sent.
func TestMetrics(t *testing.T) {
	s := serve(t, nil)
	const marker = "from-outside"
	status, text := s.call("POST", s.url+api.PathKubbis, strings.Replace(small, `"ttl`, `"max_retrievals":1,"metadata":{"`+marker+`":1},"ttl`, 1))
	if status != http.StatusCreated {
		t.Fatalf("create: %d %s", status, text)
	}
	var created api.CreateResponse
	if err := json.Unmarshal([]byte(text), &created); err != nil {
		t.Fatal(err)
	}
	for _, r := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/r/" + created.ClaimToken, 200},
		{"GET", "/r/" + created.ClaimToken + "/inspect", 200},
		{"POST", "/r/" + created.ClaimToken + "/claim", 200},
		{"POST", "/r/" + created.ClaimToken + "/claim", 410},
		{"GET", "/r/" + marker, 404},
		{"GET", "/" + marker, 404},
		{strings.ToUpper(marker), api.PathKubbis, 405},
		{"GET", api.PathKubbis + "?page=" + marker, 400},
		{"DELETE", api.PathKubbi + created.ID, 409},
		{"POST", api.PathKubbis, 400},
		{"GET", "/health", 200},
	} {
		if status, text := s.call(r.method, s.url+r.path, ""); status != r.status {
			t.Errorf("%s %s: %d %s", r.method, r.path, status, text)
		}
	}
	ordinary := s.key
	s.key = "kb_" + marker
	if status, _ := s.call("GET", s.url+api.PathKubbis, ""); status != 401 {
		t.Errorf("a wrong key: %d", status)
	}
	s.key = ordinary

	_, text = s.call("GET", s.metrics+"/metrics", "")
	for _, want := range []string{
		`kubbi_relay_requests_total{operation="create",outcome="ok"} 1`,
		`kubbi_relay_requests_total{operation="create",outcome="validation_error"} 1`,
		`kubbi_relay_requests_total{operation="preview",outcome="ok"} 1`,
		`kubbi_relay_requests_total{operation="preview",outcome="not_found"} 1`,
		`kubbi_relay_requests_total{operation="inspect",outcome="ok"} 1`,
		`kubbi_relay_requests_total{operation="claim",outcome="ok"} 1`,
		`kubbi_relay_requests_total{operation="claim",outcome="gone"} 1`,
		`kubbi_relay_requests_total{operation="delete",outcome="conflict"} 1`,
		`kubbi_relay_requests_total{operation="list",outcome="unauthorized"} 1`,
		`kubbi_relay_requests_total{operation="health",outcome="ok"} 1`,
		`kubbi_relay_request_duration_seconds_count{operation="claim"} 2`,
		`kubbi_relay_kubbis{status="active"} 0`,
		`kubbi_relay_kubbis{status="burned"} 1`,
		`kubbi_relay_stored_bytes 0`,
		`kubbi_relay_notices 0`,
		`kubbi_relay_store_up 1`,
		`kubbi_relay_store_errors_total{call="claim"} 0`,
		`kubbi_relay_refused_total{reason="too_many_requests"} 0`,
		`kubbi_relay_build_info{version="v0"} 1`,
		`kubbi_relay_receipts_total{outcome="given_up"} 0`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("not in the metrics: %s", want)
		}
	}
	for _, what := range []struct{ where, text string }{{"metrics", text}, {"log", s.log.String()}} {
		for _, secret := range []string{created.ClaimToken, created.ClaimToken[:10], s.key, "p4yload", marker, strings.ToUpper(marker)} {
			if strings.Contains(what.text, secret) {
				t.Errorf("the %s tells %q", what.where, secret)
			}
		}
	}
	boundedLabels(t, text)
}

// boundedLabels checks that every label's value is one of a small number.
func boundedLabels(t *testing.T, text string) {
	t.Helper()
	var known []string
	for _, op := range relay.Operations() {
		known = append(known, string(op))
	}
	for code := range api.Statuses {
		known = append(known, string(code))
	}
	known = append(known, relay.OutcomeOK, relay.OutcomeAborted, "active", "expired", "burned", "deleted", "wiped", "removed", "error", "v0",
		refusedRequest, refusedConnection, "delivered", "failed", "given_up")
	known = append(known, storeCalls()...)
	labels := regexp.MustCompile(`(\w+)="([^"]*)"`)
	seen := 0
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "kubbi_") {
			continue
		}
		for _, label := range labels.FindAllStringSubmatch(line, -1) {
			if seen++; label[1] != "le" && !slices.Contains(known, label[2]) {
				t.Errorf("a label's value is not known: %s", line)
			}
		}
	}
	if seen < 100 {
		t.Errorf("saw %d labels only", seen)
	}
}
