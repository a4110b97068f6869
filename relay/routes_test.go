package relay_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/kubbi/api"
)

const noToken = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
const noID = "4946ce10-f9ee-4d6e-95ca-d7d500dd2e6a"

func TestSingleContent(t *testing.T) {
	r := newRig(t)
	a := r.call("POST", api.PathKubbis, `{"content":"h\u00e9llo\n","content_type":"text/plain","ttl_seconds":3600,"max_retrievals":2,"metadata":{ "b":1.50, "a":[null,1e3] },"unknown":{"x":1}}`)
	var c api.CreateResponse
	decode(t, a.body, &c)
	fill := strings.NewReplacer("ID", c.ID, "TOKEN", c.ClaimToken, "URL", r.URL,
		"COMMON", `"metadata":{"b":1.50,"a":[null,1e3]},"created_at":"2026-03-28T12:00:00.000Z","expires_at":"2026-03-28T13:00:00.000Z"`).Replace
	wantJSON(t, a, http.StatusCreated, fill(`{"id":"ID","claim_url":"URL/r/TOKEN","claim_token":"TOKEN","status":"active","content_type":"text/plain","max_retrievals":2,COMMON}`))
	if !strings.Contains(string(a.body), `"metadata":{"b":1.50,"a":[null,1e3]}`) {
		t.Errorf("metadata lost its order or its numbers: %s", a.body)
	}
	if len(c.ID) != 36 || len(c.ClaimToken) != 43 {
		t.Errorf("id %q, token of %d characters", c.ID, len(c.ClaimToken))
	}
	detail := fill(`{"id":"ID","status":"active","content_type":"text/plain","max_retrievals":2,"retrieval_count":0,"first_retrieved_at":null,"last_retrieved_at":null,COMMON}`)
	wantJSON(t, r.call("GET", api.PathKubbi+c.ID, ""), 200, detail)
	wantJSON(t, r.call("GET", api.PathKubbi+strings.ToUpper(c.ID), ""), 200, detail)
	wantJSON(t, r.call("GET", api.PathKubbis, ""), 200, `{"kubbis":[`+detail+`],"pagination":{"page":1,"limit":20,"total":1,"total_pages":1}}`)
	inspected := `"status":"active","content_type":"text/plain","max_retrievals":2,"retrieval_count":0,COMMON`
	wantJSON(t, r.call("GET", "/r/"+c.ClaimToken+"/inspect", ""), 200, fill(`{`+inspected+`}`))
	wantJSON(t, r.call("GET", "/r/"+c.ClaimToken, ""), 200, fill(`{`+inspected+`,"claim":{"url":"URL/r/TOKEN/claim","method":"POST","description":"POST to this address to retrieve the content; it counts as one retrieval"}}`))

	r.Clock.Advance(time.Second)
	a = r.claim(c.ClaimToken)
	wantJSON(t, a, 200, fill(`{"content":"héllo\n","content_type":"text/plain",COMMON}`))
	if got := a.header.Get(api.HeaderRemainingReads); got != "1" {
		t.Errorf("remaining reads %q", got)
	}
	if got := a.header.Values(api.HeaderClaimGrace); got != nil {
		t.Errorf("grace %q on a claim without a key", got)
	}
	wantJSON(t, r.call("GET", api.PathKubbi+c.ID, ""), 200, fill(`{"id":"ID","status":"active","content_type":"text/plain","max_retrievals":2,"retrieval_count":1,"first_retrieved_at":"2026-03-28T12:00:01.000Z","last_retrieved_at":"2026-03-28T12:00:01.000Z",COMMON}`))
	r.Clock.Advance(time.Second)
	a = r.claim(c.ClaimToken)
	wantJSON(t, a, 200, fill(`{"content":"héllo\n","content_type":"text/plain","burned":true,COMMON}`))
	if got := a.header.Get(api.HeaderRemainingReads); got != "0" {
		t.Errorf("remaining reads %q", got)
	}
	for _, path := range []string{"", "/inspect"} {
		wantError(t, r.call("GET", "/r/"+c.ClaimToken+path, ""), api.CodeGone, "burned")
	}
	wantError(t, r.claim(c.ClaimToken), api.CodeGone, "burned")
	// The tombstone has lost its metadata.
	wantJSON(t, r.call("GET", api.PathKubbi+c.ID, ""), 200, fill(`{"id":"ID","status":"burned","content_type":"text/plain","max_retrievals":2,"retrieval_count":2,"first_retrieved_at":"2026-03-28T12:00:01.000Z","last_retrieved_at":"2026-03-28T12:00:02.000Z","metadata":null,"created_at":"2026-03-28T12:00:00.000Z","expires_at":"2026-03-28T13:00:00.000Z"}`))
	wantError(t, r.call("DELETE", api.PathKubbi+c.ID, ""), api.CodeConflict, "burned")
}

func TestPackage(t *testing.T) {
	r := newRig(t)
	a := r.call("POST", api.PathKubbis, `{"files":[
		{"name":"a.md","content":"# h\u00e9\ud83d\ude00","content_type":"text/markdown","role":"instructions"},
		{"name":"b.bin","content":"AP+A/w==","content_type":"application/octet-stream","encoding":"base64","role":null},
		{"name":"empty","content":"","content_type":"text/plain","encoding":null}],
		"content":null,"ttl_seconds":60}`)
	var c api.CreateResponse
	decode(t, a.body, &c)
	fill := strings.NewReplacer("ID", c.ID, "TOKEN", c.ClaimToken, "URL", r.URL,
		"COMMON", `"metadata":null,"created_at":"2026-03-28T12:00:00.000Z","expires_at":"2026-03-28T12:01:00.000Z"`).Replace
	wantJSON(t, a, http.StatusCreated, fill(`{"id":"ID","claim_url":"URL/r/TOKEN","claim_token":"TOKEN","status":"active","file_count":3,"total_size_bytes":13,"max_retrievals":null,COMMON}`))
	wantJSON(t, r.call("GET", api.PathKubbi+c.ID, ""), 200, fill(`{"id":"ID","status":"active","file_count":3,"total_size_bytes":13,"max_retrievals":null,"retrieval_count":0,"first_retrieved_at":null,"last_retrieved_at":null,COMMON}`))
	inspected := `"type":"kubbi_package","status":"active","kubbi_id":"ID","file_count":3,"total_size_bytes":13,"max_retrievals":null,"retrieval_count":0,"remaining_reads":null,"files":[
		{"name":"a.md","content_type":"text/markdown","size_bytes":9,"role":"instructions"},
		{"name":"b.bin","content_type":"application/octet-stream","size_bytes":4,"role":null},
		{"name":"empty","content_type":"text/plain","size_bytes":0,"role":null}],COMMON`
	wantJSON(t, r.call("GET", "/r/"+c.ClaimToken+"/inspect", ""), 200, fill(`{`+inspected+`}`))
	wantJSON(t, r.call("GET", "/r/"+c.ClaimToken, ""), 200, fill(`{`+inspected+`,"claim":{"url":"URL/r/TOKEN/claim","method":"POST","message":"POST to this address to retrieve all files; it counts as one retrieval"}}`))
	a = r.claim(c.ClaimToken)
	wantJSON(t, a, 200, fill(`{"type":"kubbi_package","file_count":3,"files":[
		{"name":"a.md","content_type":"text/markdown","size_bytes":9,"role":"instructions","content":"# hé😀"},
		{"name":"b.bin","content_type":"application/octet-stream","size_bytes":4,"role":null,"content":"AP+A/w==","encoding":"base64"},
		{"name":"empty","content_type":"text/plain","size_bytes":0,"role":null,"content":""}],COMMON}`))
	if got := a.header.Get(api.HeaderRemainingReads); got != api.Unlimited {
		t.Errorf("remaining reads %q", got)
	}
	// With max_retrievals the package says how many reads remain.
	c = r.create(`{"files":[{"name":"a","content":"x","content_type":"text/plain"}],"ttl_seconds":60,"max_retrievals":2}`)
	r.claim(c.ClaimToken)
	var i map[string]any
	decode(t, r.call("GET", "/r/"+c.ClaimToken+"/inspect", "").body, &i)
	if i["remaining_reads"] != 1.0 || i["retrieval_count"] != 1.0 {
		t.Errorf("inspect after a claim: %v", i)
	}
}

func TestContentTypes(t *testing.T) {
	r := newRig(t)
	for _, tc := range []struct{ contentType, content, want string }{
		{"text/plain", `""`, `""`},
		{"text/plain", `"\u0000\u001f\"\\\/\b\f\n\r\t\ud83d\ude00\uFFFD"`, `"\u0000\u001f\"\\/\b\f\n\r\t😀\uFFFD"`},
		{"text/markdown", `"# x"`, `"# x"`},
		{"text/csv", `"a,b\r\n"`, `"a,b\r\n"`},
		{"application/json", `null`, `null`},
		{"application/json", ` { "z" : 1.0, "a" : [ true , 12345678901234567890 ] } `, `{"z":1.0,"a":[true,12345678901234567890]}`},
		{"application/json", `"a \"string\""`, `"a \"string\""`},
		{"application/json", `-0`, `-0`},
		{"application/json", `{"content":"","deep":{"content":""}}`, `{"content":"","deep":{"content":""}}`},
	} {
		c := r.create(fmt.Sprintf(`{"content":%s,"content_type":%q,"ttl_seconds":60,"metadata":{"content":"","files":[]}}`, tc.content, tc.contentType))
		wantJSON(t, r.claim(c.ClaimToken), 200, fmt.Sprintf(`{"content":%s,"content_type":%q,"metadata":{"content":"","files":[]},"created_at":"2026-03-28T12:00:00.000Z","expires_at":"2026-03-28T12:01:00.000Z"}`, tc.want, tc.contentType))
	}
}

func TestDeleteAndExpiry(t *testing.T) {
	r := newRig(t)
	c := r.text("x", "")
	wantJSON(t, r.call("DELETE", api.PathKubbi+c.ID, ""), 200, `{"id":"`+c.ID+`","status":"deleted"}`)
	wantError(t, r.claim(c.ClaimToken), api.CodeGone, "deleted by its producer")
	wantError(t, r.call("GET", "/r/"+c.ClaimToken, ""), api.CodeGone, "deleted")
	wantError(t, r.call("DELETE", api.PathKubbi+c.ID, ""), api.CodeConflict, "deleted")

	c = r.text("x", "")
	r.Clock.Advance(time.Hour - time.Millisecond)
	if a := r.call("GET", "/r/"+c.ClaimToken, ""); a.status != 200 {
		t.Errorf("a millisecond before its end: %s", a.body)
	}
	r.Clock.Advance(time.Millisecond)
	for range 2 { // before and after a sweep
		wantError(t, r.claim(c.ClaimToken), api.CodeExpired, "expired")
		wantError(t, r.call("GET", "/r/"+c.ClaimToken+"/inspect", ""), api.CodeExpired, "expired")
		wantError(t, r.call("DELETE", api.PathKubbi+c.ID, ""), api.CodeConflict, "expired")
		var k api.Kubbi
		decode(t, r.call("GET", api.PathKubbi+c.ID, "").body, &k)
		if k.Status != api.StatusExpired {
			t.Errorf("status %q", k.Status)
		}
		r.Sweep(t)
	}
	r.Clock.Advance(25 * time.Hour)
	r.Sweep(t)
	wantError(t, r.claim(c.ClaimToken), api.CodeNotFound, "no such kubbi")
	wantError(t, r.call("GET", api.PathKubbi+c.ID, ""), api.CodeNotFound, "no such kubbi")
}

func TestUnknown(t *testing.T) {
	r := newRig(t)
	c := r.text("x", "")
	for _, id := range []string{noID, "x", strings.ReplaceAll(c.ID, "-", ""), "{" + c.ID + "}", "urn:uuid:" + c.ID} {
		wantError(t, r.call("GET", api.PathKubbi+id, ""), api.CodeNotFound, "no such kubbi")
		wantError(t, r.call("DELETE", api.PathKubbi+id, ""), api.CodeNotFound, "no such kubbi")
	}
	want := r.call("GET", "/r/"+noToken, "")
	wantError(t, want, api.CodeNotFound, "no such kubbi")
	for _, token := range []string{"x", c.ClaimToken[:42], c.ClaimToken + "A", c.ClaimToken[:42] + "+", strings.Repeat("A", 5000), c.ClaimToken[:42] + "%00"} {
		for _, a := range []answer{
			r.call("GET", "/r/"+token, ""), r.call("GET", "/r/"+token+"/inspect", ""), r.claim(token),
		} {
			if a.status != want.status || string(a.body) != string(want.body) {
				t.Errorf("%.50s differs from an unknown token: %d %s", token, a.status, a.body)
			}
		}
	}
}

func TestRoutes(t *testing.T) {
	r := newRig(t)
	for _, tc := range []struct {
		method, path string
		code         api.Code
		allow        string
	}{
		{"GET", "/", api.CodeNotFound, ""},
		{"GET", "/favicon.ico", api.CodeNotFound, ""},
		{"GET", "/api", api.CodeNotFound, ""},
		{"GET", "/api/v1", api.CodeNotFound, ""},
		{"GET", "/api/v1/other", api.CodeNotFound, ""},
		{"GET", "/api/v1/kubbis/", api.CodeNotFound, ""},
		{"GET", "/api/v1/kubbis/" + noID + "/x", api.CodeNotFound, ""},
		{"GET", "/api/vx/kubbis", api.CodeNotFound, ""},
		{"GET", "/r", api.CodeNotFound, ""},
		{"GET", "/r/", api.CodeNotFound, ""},
		{"GET", "/r/" + noToken + "/other", api.CodeNotFound, ""},
		{"GET", "/r/" + noToken + "/", api.CodeNotFound, ""},
		{"GET", "//r/" + noToken, api.CodeNotFound, ""},
		{"GET", "/r/../health", api.CodeNotFound, ""},
		{"GET", "/api/v2/kubbis", api.CodeNotImplemented, ""},
		{"POST", "/api/v0/anything/at/all", api.CodeNotImplemented, ""},
		{"DELETE", "/api/v11", api.CodeNotImplemented, ""},
		{"PUT", "/api/v1/kubbis", api.CodeMethodNotAllowed, "GET, HEAD, POST"},
		{"DELETE", "/api/v1/kubbis", api.CodeMethodNotAllowed, "GET, HEAD, POST"},
		{"POST", "/api/v1/kubbis/" + noID, api.CodeMethodNotAllowed, "GET, HEAD, DELETE"},
		{"POST", "/r/" + noToken, api.CodeMethodNotAllowed, "GET, HEAD"},
		{"POST", "/r/" + noToken + "/inspect", api.CodeMethodNotAllowed, "GET, HEAD"},
		{"GET", "/r/" + noToken + "/claim", api.CodeMethodNotAllowed, "POST, DELETE"},
		{"POST", "/health", api.CodeMethodNotAllowed, "GET, HEAD"},
		{"OPTIONS", "/r/" + noToken, api.CodeMethodNotAllowed, "GET, HEAD"},
		{"BREW", "/health", api.CodeMethodNotAllowed, "GET, HEAD"},
	} {
		t.Run(tc.method+" "+tc.path, func(t *testing.T) {
			a := rig{r.Server, t}.call(tc.method, tc.path, "")
			wantError(t, a, tc.code, "")
			if got := a.header.Get("Allow"); got != tc.allow {
				t.Errorf("Allow is %q, want %q", got, tc.allow)
			}
			wantHeaders(t, tc.path, a)
		})
	}
}

// wantHeaders checks the headers that all answers of a path have, also errors.
func wantHeaders(t testing.TB, path string, a answer) {
	t.Helper()
	version := ""
	if strings.HasPrefix(path, "/api/v1/") || path == "/api/v1" {
		version = "v1"
	}
	if got := a.header.Get("API-Version"); got != version {
		t.Errorf("%s: API-Version is %q, want %q", path, got, version)
	}
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %s is %q, want %q", path, name, got, want)
		}
	}
}

func TestHeaders(t *testing.T) {
	r := newRig(t)
	c := r.text("x", "")
	for _, tc := range [][2]string{
		{"POST", api.PathKubbis}, {"GET", api.PathKubbis}, {"GET", api.PathKubbi + c.ID}, {"DELETE", api.PathKubbi + c.ID},
		{"GET", "/r/" + c.ClaimToken}, {"GET", "/r/" + c.ClaimToken + "/inspect"}, {"POST", "/r/" + c.ClaimToken + "/claim"}, {"GET", "/health"},
	} {
		wantHeaders(t, tc[1], r.call(tc[0], tc[1], "{}"))
	}
}

func TestHEADCountsNothing(t *testing.T) {
	r := newRig(t)
	c := r.text("x", `,"max_retrievals":1`)
	for _, path := range []string{"", "/inspect"} {
		a := r.call("HEAD", "/r/"+c.ClaimToken+path, "")
		if a.status != 200 || len(a.body) != 0 || a.header.Get("Content-Length") == "" {
			t.Errorf("HEAD %q: %d, %d bytes, %v", path, a.status, len(a.body), a.header)
		}
	}
	if a := r.call("HEAD", "/r/"+c.ClaimToken+"/claim", ""); a.status != 405 || len(a.body) != 0 {
		t.Errorf("HEAD claim: %d", a.status)
	}
	if a := r.claim(c.ClaimToken); a.status != 200 {
		t.Errorf("claim after HEAD: %s", a.body)
	}
}

func TestHealth(t *testing.T) {
	r := newRig(t)
	wantJSON(t, r.call("GET", "/health", ""), 200, `{"status":"ok","database":"connected","timestamp":"2026-03-28T12:00:00.000Z"}`)
}

func TestAuth(t *testing.T) {
	r := newRig(t)
	c := r.text("x", "")
	for name, header := range map[string]string{
		"none": "", "wrong": "Bearer kb_" + noToken, "scheme": "Basic " + r.APIKey, "bare": r.APIKey, "empty": "Bearer ",
		"long": "Bearer " + strings.Repeat("k", 4000), "token": "Bearer " + c.ClaimToken, "cut": "Bearer " + r.APIKey[:len(r.APIKey)-1],
	} {
		for _, tc := range [][2]string{
			{"POST", api.PathKubbis}, {"GET", api.PathKubbis}, {"GET", api.PathKubbi + c.ID}, {"DELETE", api.PathKubbi + c.ID}, {"GET", api.PathKubbi + "x"},
		} {
			a := r.call(tc[0], tc[1], "{", "Authorization", header)
			wantError(t, a, api.CodeUnauthorized, "")
			if a.header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%s: WWW-Authenticate is %q", name, a.header.Get("WWW-Authenticate"))
			}
			wantHeaders(t, tc[1], a)
		}
	}
	if a := r.call("GET", api.PathKubbis, "", "Authorization", "bearer   "+r.APIKey); a.status != 200 {
		t.Errorf("lower-case scheme: %d", a.status)
	}
}

func TestList(t *testing.T) {
	r := newRig(t)
	wantJSON(t, r.call("GET", api.PathKubbis, ""), 200, `{"kubbis":[],"pagination":{"page":1,"limit":20,"total":0,"total_pages":0}}`)
	var made []string
	for range 5 {
		made = append(made, r.text("x", "").ID)
	}
	page := func(query string) (api.ListResponse, answer) {
		a := r.call("GET", api.PathKubbis+query, "")
		var l api.ListResponse
		decode(t, a.body, &l)
		return l, a
	}
	first, a := page("?page=1&limit=2")
	anchor := a.header.Get(api.HeaderListAnchor)
	if first.Pagination != (api.Pagination{Page: 1, Limit: 2, Total: 5, TotalPages: 3}) || anchor == "" {
		t.Fatalf("%+v, anchor %q", first.Pagination, anchor)
	}
	got := []string{first.Kubbis[0].ID, first.Kubbis[1].ID}
	r.text("newer", "")
	for _, n := range []string{"2", "3"} {
		l, _ := page("?limit=2&page=" + n + "&anchor=" + anchor)
		for _, k := range l.Kubbis {
			got = append(got, k.ID)
		}
	}
	for i := range made {
		if len(got) != 5 || got[i] != made[4-i] {
			t.Fatalf("pages show %v, want the reverse of %v", got, made)
		}
	}
	if l, _ := page("?page=9"); len(l.Kubbis) != 0 || l.Kubbis == nil || l.Pagination.Total != 6 {
		t.Errorf("a page beyond the end: %+v", l)
	}
	if a := r.call("DELETE", api.PathKubbi+made[1], ""); a.status != 200 {
		t.Fatalf("delete: %d", a.status)
	}
	for status, want := range map[string]int{"active": 5, "deleted": 1, "burned": 0, "expired": 0} {
		l, a := page("?limit=3&status=" + status)
		if l.Pagination.Total != want || len(l.Kubbis) != min(3, want) || a.header.Get(api.HeaderListStatus) != status {
			t.Errorf("status %s: %+v, header %q", status, l.Pagination, a.header.Get(api.HeaderListStatus))
		}
		for _, k := range l.Kubbis {
			if string(k.Status) != status {
				t.Errorf("status %s shows one that is %s", status, k.Status)
			}
		}
	}
	for query, fault := range map[string]string{
		"?status=gone": "status must be active, expired, burned or deleted", "?status=Active": "status must be",
		"?page=0": "page must be", "?page=x": "page must be", "?page=1.5": "page must be", "?page=99999999999999999999": "page must be",
		"?limit=0": "limit must be an integer between 1 and 100", "?limit=101": "limit must be", "?limit=-1": "limit must be", "?anchor=x": "anchor must be",
	} {
		wantError(t, r.call("GET", api.PathKubbis+query, ""), api.CodeValidation, fault)
	}
	var e api.ErrorBody
	decode(t, r.call("GET", api.PathKubbis+"?page=0&limit=0&anchor=x", "").body, &e)
	if len(e.Messages) != 3 {
		t.Errorf("messages: %q", e.Messages)
	}
}
