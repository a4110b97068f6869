package relay_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/kubbi/api"
)

// sealedAnswer is the body of an answer. The relay can't see what is sealed.
func sealedAnswer(content string) string {
	return `{"files":[{"name":"sealed","content_type":"application/vnd.kubbi.sealed","encoding":"base64","content":"` + content + `"}],` +
		`"metadata":{"sealed":{"v":2,"kid":"AAAAAAAAAAAAAAAA","to":[{"kid":"BBBBBBBBBBBBBBBB","key":"Q0ND"}]}}}`
}

const askBody = `{"message":"The key of the payment service\nfor the nightly test.","fields":[{"name":"STRIPE_KEY","secret":true},{"name":"NOTE","lines":true}],"ttl_seconds":3600}`

func (r rig) ask(body string, headers ...string) api.AskResponse {
	r.t.Helper()
	a := r.call("POST", api.PathRequests, body, headers...)
	if a.status != http.StatusCreated {
		r.t.Fatalf("ask: %d %.300s", a.status, a.body)
	}
	var asked api.AskResponse
	decode(r.t, a.body, &asked)
	return asked
}

// path is the path of a URL of this relay.
func (r rig) path(url string) string {
	r.t.Helper()
	path, ok := strings.CutPrefix(url, r.URL)
	if !ok {
		r.t.Fatalf("not of this relay: %s", url)
	}
	return path
}

func (r rig) asked(id string) (asked api.Asked) {
	r.t.Helper()
	a := r.call("GET", api.PathRequest+id, "")
	if a.status != http.StatusOK {
		r.t.Fatalf("get request: %d %s", a.status, a.body)
	}
	decode(r.t, a.body, &asked)
	return asked
}

// A request is asked, shown, answered once, and its answer claimed.
func TestRequest(t *testing.T) {
	r := newRig(t)
	a := r.call("POST", api.PathRequests, askBody)
	var asked api.AskResponse
	decode(t, a.body, &asked)
	question, claim := r.path(asked.RequestURL), r.path(asked.ClaimURL)
	fill := strings.NewReplacer("ANSWER", asked.AnswerID, "ID", asked.ID, "QUESTION", asked.RequestURL, "CLAIM", asked.ClaimURL,
		"TIMES", `"created_at":"2026-03-28T12:00:00.000Z","expires_at":"2026-03-28T13:00:00.000Z"`).Replace
	wantJSON(t, a, http.StatusCreated, fill(`{"id":"ID","status":"pending","request_url":"QUESTION","answer_id":"ANSWER","claim_url":"CLAIM",TIMES}`))
	wantJSON(t, r.call("GET", api.PathRequest+asked.ID, ""), 200, fill(`{"id":"ID","status":"pending",TIMES,"ended_at":null}`))
	wantJSON(t, r.call("GET", question, ""), 200, fill(`{"status":"pending","message":"The key of the payment service\nfor the nightly test.",
		"fields":[{"name":"STRIPE_KEY","secret":true},{"name":"NOTE","lines":true}],
		"limits":{"bytes":52428800,"files":20,"file_name_bytes":255},TIMES}`))

	// Neither is a kubbi, and nothing is found in place of the other.
	token := strings.TrimPrefix(question, api.PathAnswer)
	reply := strings.TrimPrefix(claim, api.PathClaim)
	for _, path := range []string{api.PathClaim + token, api.PathClaim + token + "/inspect", claim, claim + "/inspect", api.PathKubbi + asked.ID, api.PathKubbi + asked.AnswerID} {
		wantError(t, r.call("GET", path, ""), api.CodeNotFound, "no such kubbi")
	}
	wantError(t, r.call("DELETE", api.PathKubbi+asked.ID, ""), api.CodeNotFound, "no such kubbi")
	wantError(t, r.claim(token), api.CodeNotFound, "no such kubbi")
	wantError(t, r.claim(reply), api.CodeNotFound, "no such kubbi")
	for _, path := range []string{api.PathAnswer + reply, api.PathAnswer + noToken, api.PathAnswer + "x", api.PathRequest + asked.AnswerID, api.PathRequest + noID, api.PathRequest + "x"} {
		wantError(t, r.call("GET", path, ""), api.CodeNotFound, "no such request")
	}
	wantError(t, r.call("POST", api.PathAnswer+reply, sealedAnswer("eA==")), api.CodeNotFound, "no such request")

	r.Clock.Advance(10 * time.Minute)
	a = r.call("POST", question, sealedAnswer("eA=="))
	wantJSON(t, a, http.StatusCreated, `{"status":"answered","answered_at":"2026-03-28T12:10:00.000Z","expires_at":"2026-03-28T13:10:00.000Z"}`)
	wantJSON(t, r.call("GET", api.PathRequest+asked.ID, ""), 200, fill(`{"id":"ID","status":"answered",TIMES,"ended_at":"2026-03-28T12:10:00.000Z"}`))
	wantError(t, r.call("POST", question, sealedAnswer("eQ==")), api.CodeConflict, "answered already")
	wantError(t, r.call("POST", question, sealedAnswer("eQ=="), api.HeaderIdempotencyKey, secondKey), api.CodeConflict, "answered already")
	wantError(t, r.call("GET", question, ""), api.CodeGone, "answered already")
	wantError(t, r.call("DELETE", api.PathRequest+asked.ID, ""), api.CodeConflict, "this one is answered")

	var list api.ListResponse
	decode(t, r.call("GET", api.PathKubbis, "").body, &list)
	if len(list.Kubbis) != 1 || list.Kubbis[0].ID != asked.AnswerID || *list.Kubbis[0].MaxRetrievals != 1 {
		t.Errorf("the list is %+v", list)
	}
	a = r.claim(reply)
	var got api.ClaimResponse
	decode(t, a.body, &got)
	if a.status != 200 || len(got.Files) != 1 || got.Files[0].Content != "eA==" || !got.Burned || !json.Valid(got.Metadata) {
		t.Errorf("claim: %d %s", a.status, a.body)
	}
}

const (
	firstKey  = "5f0c3b1e-8c0e-4a55-9d0e-2f6c5a1b7e90"
	secondKey = "c2a9e7d4-13b6-4f8a-b0c5-7d9e1f2a3b4c"
)
