package relay_test

import (
	"encoding/json"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kubbi-mcp/kubbi/api"
)

// TestRequestPage checks that a browser gets a page for a request URL, which has the question
// as other clients get it, and that nothing but its script can answer.
func TestRequestPage(t *testing.T) {
	r := newRig(t)
	path := r.path(r.ask(strings.Replace(askBody, "nightly", `\u202e</main>`, 1)).RequestURL)
	a := r.call("GET", path, "", "Accept", chrome)
	text := wantPage(t, a, 200, "You are asked for 2 values", "the relay at <bdi class=\"host\">"+strings.TrimPrefix(r.URL, "http://"), "⟦U+202E⟧</main> test.", `kubbi-mcp answer "the whole link"`)
	m := regexp.MustCompile(`data-question="([^"]*)"`).FindStringSubmatch(text)
	if m == nil {
		t.Fatal("the page has no question")
	}
	var shown, asked api.Question
	decode(t, []byte(html.UnescapeString(m[1])), &shown)
	decode(t, r.call("GET", path, "", "Accept", "application/json").body, &asked)
	if diff := cmp.Diff(asked, shown); diff != "" {
		t.Errorf("the page asks something else: %s", diff)
	}
	if policy := a.header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'none'") || !strings.Contains(policy, "connect-src 'self'; ") {
		t.Errorf("policy is %q", policy)
	}
	for _, method := range []string{"HEAD", "GET"} {
		if a := r.call(method, path, "", "Accept", firefox); a.status != 200 || a.header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%s: %d %v", method, a.status, a.header)
		}
	}
	wantError(t, r.call("POST", path, "key=x", "Accept", firefox, "Content-Type", "application/x-www-form-urlencoded"), api.CodeValidation, "")

	// The answer of the page's script.
	sealed := `{"files":[{"name":"sealed","content_type":"application/vnd.kubbi.sealed","size_bytes":3,"encoding":"base64"}],"metadata":{"sealed":{"v":2,"kid":"AAAAAAAAAAAAAAAA","to":[{"kid":"B","key":"C"}]}}}` + "\nxyz"
	other := r.call("POST", path, sealed, "Content-Type", api.TypeRaw, "Sec-Fetch-Site", "cross-site")
	wantError(t, other, api.CodeValidation, "page of another site")
	a = r.call("POST", path, sealed, "Content-Type", api.TypeRaw, "Sec-Fetch-Site", "same-origin")
	var receipt api.AnswerResponse
	if err := json.Unmarshal(a.body, &receipt); err != nil || a.status != http.StatusCreated || receipt.Status != api.RequestAnswered {
		t.Errorf("answer: %d %s", a.status, a.body)
	}
	wantPage(t, r.call("GET", path, "", "Accept", firefox), 409, "Already answered", "only the first answer is taken")
}

func TestRequestProblemPages(t *testing.T) {
	r := newRig(t)
	get := func(path string) answer { return r.call("GET", path, "", "Accept", firefox) }
	wantPage(t, get(api.PathAnswer+noToken), 404, "There is nothing here")
	late := r.ask(askBody)
	gone := r.ask(askBody)
	if a := r.call("DELETE", api.PathRequest+gone.ID, ""); a.status != 200 {
		t.Fatal(a.status)
	}
	wantPage(t, get(r.path(gone.RequestURL)), 410, "Withdrawn", "Nothing was sent.")
	r.Clock.Advance(time.Hour)
	wantPage(t, get(r.path(late.RequestURL)), 410, "The time is up")
}
