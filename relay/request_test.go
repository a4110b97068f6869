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
	pending := fill(`{"id":"ID","status":"pending","message":"The key of the payment service\nfor the nightly test.",TIMES,"ended_at":null}`)
	wantJSON(t, r.call("GET", api.PathRequest+asked.ID, ""), 200, pending)
	wantJSON(t, r.call("GET", api.PathRequests, ""), 200, `{"requests":[`+pending+`],"pagination":{"page":1,"limit":20,"total":1,"total_pages":1}}`)
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
	wantError(t, r.call("POST", question, sealedAnswer("eQ=="), api.HeaderIdempotencyKey, keyTwo), api.CodeConflict, "answered already")
	wantError(t, r.call("GET", question, ""), api.CodeConflict, "answered already")
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

func TestAskValidation(t *testing.T) {
	r := newRig(t)
	long := strings.Repeat("é", api.MaxRequestMessage)
	for _, c := range []struct {
		name, body string
		want       []string
	}{
		{"everything", `{"message":7,"fields":{},"files":"yes","ttl_seconds":1,"x_notify":{},"secret":1,"other":2}`, []string{
			"the request body must have no members but message, fields, files, ttl_seconds and x_notify",
			"message must be a string", "fields must be an array of 1 to 20 fields", "files must be true or false",
			"ttl_seconds must be between 60 and 86400", "x_notify can't be given: the operator of this relay has not turned webhook receipts on",
		}},
		{"nothing", `{}`, []string{"message is required", "ttl_seconds is required"}},
		{"neither", `{"message":"x","ttl_seconds":60}`, []string{"either fields or files: true must be given"}},
		{"neither, said", `{"message":"x","files":false,"fields":null,"ttl_seconds":60}`, []string{"either fields or files: true must be given"}},
		{"both", `{"message":"x","files":true,"fields":[{"name":"A"}],"ttl_seconds":60}`, []string{"either fields or files: true must be given"}},
		{"blank", `{"message":" \n","files":true,"ttl_seconds":60}`, []string{"message must say what is wanted"}},
		{"too long", `{"message":"` + long + `x","files":true,"ttl_seconds":60}`, []string{"message must be at most 2000 characters, and is 2001"}},
		{"escape", `{"message":"\u001b[31m","files":true,"ttl_seconds":60}`, []string{"message must not have control characters other than line feeds and tabs"}},
		{"fields", `{"message":"x","fields":[1,{"name":"1A"},{"name":""},{"name":"A B"},{"name":"` + strings.Repeat("A", 65) + `"},{"name":"A","secrets":true},{"name":"A","secret":"yes"},{"name":"ok"},{"name":"OK"}],"ttl_seconds":60}`, []string{
			"fields[0] must be an object with a name, and optionally secret and lines, which are true or false",
			"fields[1].name must be 1 to 64 of the characters A-Z, a-z, 0-9 and _, and not begin with a digit",
			"fields[2].name must be 1 to 64 of the characters A-Z, a-z, 0-9 and _, and not begin with a digit",
			"fields[3].name must be 1 to 64 of the characters A-Z, a-z, 0-9 and _, and not begin with a digit",
			"fields[4].name must be 1 to 64 of the characters A-Z, a-z, 0-9 and _, and not begin with a digit",
			"fields[5] must have no members but name, secret and lines",
			"fields[6] must be an object with a name, and optionally secret and lines, which are true or false",
			"fields[8].name must be unique, ignoring case; fields[7] has it",
		}},
		{"too many fields", `{"message":"x","fields":[` + strings.Repeat(`{"name":"A"},`, 20) + `{"name":"A"}],"ttl_seconds":60}`, []string{"fields must be an array of 1 to 20 fields"}},
		{"no object", `[]`, []string{"the request body must be a JSON object"}},
		{"twice", `{"message":"x","message":"y"}`, []string{"the request body names a member of an object twice (at byte 15)"}},
		{"more", askBody + `{}`, []string{"the request body has data after its JSON object"}},
		{"half", `{"message":"x`, []string{"the request body is not valid JSON: it ends early (at byte 13)"}},
	} {
		t.Run(c.name, func(t *testing.T) { wantMessages(t, r.call("POST", api.PathRequests, c.body), c.want) })
	}
	wantError(t, r.call("POST", api.PathRequests, `{"message":"`+strings.Repeat("x", 1<<20)+`"}`), api.CodeTooLarge, "the request body must be at most")
	wantError(t, r.call("POST", api.PathRequests, askBody, "Authorization", ""), api.CodeUnauthorized, "needed")
	wantError(t, r.call("PUT", api.PathRequests, ""), api.CodeMethodNotAllowed, "allows GET, HEAD, POST")
	q := r.ask(`{"message":"` + long + `","files":true,"ttl_seconds":86400}`)
	var question api.Question
	decode(t, r.call("GET", r.path(q.RequestURL), "").body, &question)
	if question.Message != long || !question.Files || question.Fields != nil {
		t.Errorf("the question is %+v", question)
	}
}

func TestAnswerValidation(t *testing.T) {
	r := newRig(t)
	question := r.path(r.ask(askBody).RequestURL)
	const unsealed = "an answer must be encrypted for whoever asked: open the request URL in a browser, or pass it to kubbi-mcp answer"
	good := sealedAnswer("eA==")
	for _, c := range []struct {
		name, body string
		want       []string
	}{
		{"of a create", strings.TrimSuffix(good, "}") + `,"ttl_seconds":60,"max_retrievals":2,"x_notify":{"notify_url":"https://a.example"}}`, []string{
			"ttl_seconds can't be given in an answer: the request has it",
			"max_retrievals can't be given in an answer, which can be claimed once", "x_notify can't be given in an answer",
		}},
		{"in the open", `{"content":"hunter2","content_type":"text/plain"}`, []string{unsealed}},
		{"without a seal", strings.Replace(good, `"sealed":{`, `"other":{`, 1), []string{unsealed}},
		{"for nobody", strings.Replace(good, `"to":[`, `"too":[`, 1), []string{unsealed}},
		{"for an empty list", strings.Replace(good, `[{"kid":"BBBBBBBBBBBBBBBB","key":"Q0ND"}]`, `[]`, 1), []string{unsealed}},
		{"for no key", strings.Replace(good, `"key":"Q0ND"`, `"key":""`, 1), []string{unsealed}},
		{"more metadata", strings.Replace(good, `"metadata":{`, `"metadata":{"note":"x",`, 1), []string{unsealed}},
		{"another name", strings.Replace(good, `"name":"sealed"`, `"name":"secret"`, 1), []string{unsealed}},
		{"another type", strings.Replace(good, `vnd.kubbi.sealed`, `octet-stream`, 1), []string{unsealed}},
		{"as text", strings.Replace(good, `"encoding":"base64",`, ``, 1), []string{unsealed}},
		{"nothing", `{}`, []string{"exactly one of content and files must be given"}},
	} {
		t.Run(c.name, func(t *testing.T) { wantMessages(t, r.call("POST", question, c.body), c.want) })
	}
	wantError(t, r.call("POST", question, good, key, "guessable"), api.CodeValidation, "can be guessed")
	wantError(t, r.call("PUT", question, good), api.CodeMethodNotAllowed, "allows GET, HEAD, POST")
	// As JSON from a client that can't leave out its zero, and in raw form.
	if a := r.call("POST", question, strings.TrimSuffix(good, "}")+`,"ttl_seconds":0,"max_retrievals":null}`); a.status != http.StatusCreated {
		t.Errorf("answer: %d %s", a.status, a.body)
	}
	raw := `{"files":[{"name":"sealed","content_type":"application/vnd.kubbi.sealed","encoding":"base64","size_bytes":3}],"ttl_seconds":0,` +
		good[strings.Index(good, `"metadata"`):] + "\n\x00\x01\x02"
	q := r.ask(askBody)
	if a := r.call("POST", r.path(q.RequestURL), raw, "Content-Type", api.TypeRaw); a.status != http.StatusCreated {
		t.Errorf("raw answer: %d %s", a.status, a.body)
	}
	var c api.ClaimResponse
	if decode(t, r.call("POST", r.path(q.ClaimURL)+"/claim", "").body, &c); len(c.Files) != 1 || c.Files[0].Content != "AAEC" {
		t.Errorf("claimed: %+v", c)
	}
}

// TestRequestEnds checks what everybody is told about a request that has ended, until its
// tombstone is removed.
func TestRequestEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end    func(r rig, q api.AskResponse)
		status api.RequestStatus
		code   api.Code
		text   string
		after  time.Duration
	}{
		"expired": {func(r rig, q api.AskResponse) { r.Clock.Advance(time.Hour) }, api.RequestExpired, api.CodeExpired, "this request has expired: nobody answered it in time", time.Hour},
		"withdrawn": {func(r rig, q api.AskResponse) {
			r.Clock.Advance(time.Minute)
			wantJSON(r.t, r.call("DELETE", api.PathRequest+q.ID, ""), 200, `{"id":"`+q.ID+`","status":"withdrawn","created_at":"2026-03-28T12:00:00.000Z","expires_at":"2026-03-28T13:00:00.000Z","ended_at":"2026-03-28T12:01:00.000Z"}`)
		}, api.RequestWithdrawn, api.CodeGone, "this request was withdrawn by whoever asked", time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			q := r.ask(askBody)
			c.end(r, q)
			for _, swept := range []bool{false, true} {
				asked := r.asked(q.ID)
				if asked.Status != c.status || asked.EndedAt == nil || !asked.EndedAt.Equal(start.Add(c.after)) {
					t.Errorf("the request is %+v", asked)
				}
				wantError(t, r.call("GET", r.path(q.RequestURL), ""), c.code, c.text)
				wantError(t, r.call("POST", r.path(q.RequestURL), sealedAnswer("eA==")), c.code, c.text)
				wantError(t, r.call("POST", r.path(q.RequestURL), sealedAnswer("eA=="), key, keyOne), c.code, c.text)
				wantError(t, r.call("DELETE", api.PathRequest+q.ID, ""), api.CodeConflict, "only a pending request can be withdrawn, and this one is "+name)
				wantError(t, r.call("POST", r.path(q.ClaimURL)+"/claim", ""), api.CodeNotFound, "")
				if !swept {
					r.Sweep(t)
				}
			}
			r.Clock.Advance(25 * time.Hour)
			r.Sweep(t)
			for _, a := range []answer{r.call("GET", r.path(q.RequestURL), ""), r.call("GET", api.PathRequest+q.ID, ""), r.call("DELETE", api.PathRequest+q.ID, "")} {
				wantError(t, a, api.CodeNotFound, "no such request")
			}
		})
	}
}

// TestListRequests lists the requests of one key in all statuses, and none of another's.
func TestListRequests(t *testing.T) {
	r := newRig(t)
	want := map[api.RequestStatus]string{}
	want[api.RequestExpired] = r.ask(`{"message":"expired","files":true,"ttl_seconds":60}`).ID
	answered := r.ask(`{"message":"answered","files":true,"ttl_seconds":3600}`)
	want[api.RequestAnswered] = answered.ID
	if a := r.call("POST", r.path(answered.RequestURL), sealedAnswer("eA==")); a.status != http.StatusCreated {
		t.Fatalf("answer: %d %s", a.status, a.body)
	}
	want[api.RequestWithdrawn] = r.ask(askBody).ID
	r.call("DELETE", api.PathRequest+want[api.RequestWithdrawn], "")
	r.Clock.Advance(time.Minute)
	want[api.RequestPending] = r.ask(askBody).ID
	list := func(query string, header ...string) (l api.AskedList) {
		t.Helper()
		a := r.call("GET", api.PathRequests+query, "", header...)
		if decode(t, a.body, &l); a.status != 200 || strings.Contains(string(a.body), "/q/") || strings.Contains(string(a.body), answered.AnswerID) {
			t.Errorf("list%s: %d %s", query, a.status, a.body)
		}
		return l
	}
	all := list("")
	if len(all.Requests) != 4 || all.Requests[0].ID != want[api.RequestPending] || all.Requests[3].ID != want[api.RequestExpired] {
		t.Errorf("all: %+v", all)
	}
	for _, status := range api.RequestStatuses {
		l := list("?status=" + string(status))
		if len(l.Requests) != 1 || l.Pagination.Total != 1 || l.Requests[0].ID != want[status] || l.Requests[0].Status != status {
			t.Errorf("%s: %+v", status, l)
		}
		if one := l.Requests[0]; (one.Message != "") != (status == api.RequestPending) || (one.EndedAt == nil) != (status == api.RequestPending) {
			t.Errorf("%s: %+v", status, one)
		}
	}
	if second := list("?limit=3&page=2"); len(second.Requests) != 1 || second.Pagination.TotalPages != 2 || second.Requests[0].ID != want[api.RequestExpired] {
		t.Errorf("page 2: %+v", second)
	}
	wantMessages(t, r.call("GET", api.PathRequests+"?status=burned&limit=101", ""), []string{
		"limit must be an integer between 1 and 100", "status must be pending, expired, answered or withdrawn"})
	wantError(t, r.call("GET", api.PathRequests, "", "Authorization", ""), api.CodeUnauthorized, "needed")
	other, err := r.Local.CallerKey(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	if l := list("", "Authorization", "Bearer "+other); len(l.Requests) != 0 || l.Pagination.Total != 0 {
		t.Errorf("another key's: %+v", l)
	}
}

func TestIdempotentAsk(t *testing.T) {
	r := newRig(t)
	first := r.call("POST", api.PathRequests, askBody, key, keyOne)
	again := r.call("POST", api.PathRequests, askBody, key, keyOne)
	if again.status != http.StatusCreated || string(again.body) != string(first.body) {
		t.Errorf("repeated: %d %s, want %s", again.status, again.body, first.body)
	}
	wantError(t, r.call("POST", api.PathRequests, strings.Replace(askBody, "key", "keys", 1), key, keyOne), api.CodeConflict, "used before")
	r.create(small, key, keyOne) // a key of kubbis is another one
	var q api.AskResponse
	decode(t, first.body, &q)
	if a := r.call("POST", r.path(q.RequestURL), sealedAnswer("eA==")); a.status != http.StatusCreated {
		t.Errorf("answer: %d %s", a.status, a.body)
	}
	if a := r.call("POST", r.path(q.ClaimURL)+"/claim", ""); a.status != http.StatusOK {
		t.Errorf("claim: %d %s", a.status, a.body)
	}
	wantError(t, r.call("POST", api.PathRequests, askBody, key, keyOne), api.CodeConflict, "answered already")
	r.Clock.Advance(time.Minute)
	if late := r.ask(askBody, key, keyOne); late.ID == q.ID {
		t.Error("the key works after its grace")
	}
}
