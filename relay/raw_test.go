package relay_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
)

// rawBody is the body of a raw create: its head, and the payload after it.
func rawBody(t testing.TB, head api.RawCreate, payload ...string) string {
	t.Helper()
	b, err := api.AppendRawHead(nil, head)
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + strings.Join(payload, "")
}

// claimRaw claims a kubbi as our client does.
func (r rig) claimRaw(token string, headers ...string) (api.RawClaim, string, http.Header) {
	r.t.Helper()
	a := r.claim(token, append([]string{"Accept", api.TypeRaw + ", application/json"}, headers...)...)
	line, payload, ok := strings.Cut(string(a.body), "\n")
	if a.status != 200 || !ok || a.header.Get("Content-Type") != api.TypeRaw || a.header.Get("Content-Length") != fmt.Sprint(len(a.body)) {
		r.t.Fatalf("claim: %d %v %.200s", a.status, a.header, a.body)
	}
	var head api.RawClaim
	decode(r.t, []byte(line), &head)
	return head, payload, a.header
}

// TestRawContent sends single contents raw and as JSON, and claims each both ways.
func TestRawContent(t *testing.T) {
	testkit.OnlyPlain(t, "one request at a time")
	r := newRig(t)
	for name, tc := range map[string]struct{ contentType, content string }{
		"text":        {api.TypeText, "héllo \"wörld\"\n"},
		"nothing":     {api.TypeText, ""},
		"large text":  {api.TypeMarkdown, strings.Repeat("# héllo 🎉\n", 300_000)},
		"one chunk":   {api.TypeCSV, strings.Repeat("a,b\n", 16<<10)},
		"chunk and 1": {api.TypeCSV, strings.Repeat("a,b\n", 16<<10) + "c"},
		"JSON":        {api.TypeJSON, `{"a":[1e400,-0,"é"],"a":null}`},
		"large JSON":  {api.TypeJSON, "[" + strings.Repeat(`{"n":1.0,"n":1e400,"s":"é\u0000"},`, 100_000) + "1]"},
		"a string":    {api.TypeJSON, `"` + strings.Repeat("x", 1<<20) + `"`},
	} {
		size := int64(len(tc.content))
		inJSON := tc.content
		if tc.contentType != api.TypeJSON {
			q, err := json.Marshal(tc.content)
			if err != nil {
				t.Fatal(err)
			}
			inJSON = string(q)
		}
		for how, c := range map[string]api.CreateResponse{
			"raw":  r.create(rawBody(t, api.RawCreate{ContentType: tc.contentType, ContentBytes: &size, TTLSeconds: 60, Metadata: json.RawMessage(`{"a":"é"}`)}, tc.content), "Content-Type", api.TypeRaw),
			"JSON": r.create(fmt.Sprintf(`{"content":%s,"content_type":%q,"ttl_seconds":60,"metadata":{"a":"é"}}`, inJSON, tc.contentType)),
		} {
			if string(c.Metadata) != `{"a":"é"}` || c.ContentType != tc.contentType {
				t.Errorf("%s, sent %s: created %+v", name, how, c)
			}
			head, payload, h := r.claimRaw(c.ClaimToken)
			if payload != tc.content || head.ContentBytes == nil || *head.ContentBytes != size || head.ContentType != tc.contentType || head.Files != nil || head.Type != "" ||
				string(head.Metadata) != `{"a":"é"}` || head.CreatedAt != c.CreatedAt || head.ExpiresAt != c.ExpiresAt || h.Get(api.HeaderRemainingReads) != api.Unlimited {
				t.Errorf("%s, sent %s, claimed raw: %d bytes, %+v", name, how, len(payload), head)
			}
			var got struct{ Content json.RawMessage }
			decode(t, r.claim(c.ClaimToken).body, &got)
			if tc.contentType == api.TypeJSON && string(got.Content) != tc.content {
				t.Errorf("%s, sent %s, claimed as JSON: something else", name, how)
			}
			var text string
			if tc.contentType != api.TypeJSON && (json.Unmarshal(got.Content, &text) != nil || text != tc.content) {
				t.Errorf("%s, sent %s, claimed as JSON: something else", name, how)
			}
		}
	}
}

// TestRawPackage sends a package raw, and claims it both ways.
func TestRawPackage(t *testing.T) {
	r := newRig(t)
	binary := make([]byte, 3<<20+7)
	rand.NewChaCha8([32]byte{1}).Read(binary)
	files := []api.RawFile{
		{Name: "empty", ContentType: "a/b"},
		{Name: "a.bin", ContentType: "application/octet-stream", Encoding: api.EncodingBase64, SizeBytes: int64(len(binary)), Role: "data"},
		{Name: "é.txt", ContentType: "text/plain", SizeBytes: 5},
		{Name: "last", ContentType: "a/b", Encoding: api.EncodingBase64},
	}
	body := rawBody(t, api.RawCreate{Files: files, TTLSeconds: 60, MaxRetrievals: new(2)}, string(binary), "héll")
	c := r.create(body, "Content-Type", api.TypeRaw)
	if *c.FileCount != 4 || *c.TotalSizeBytes != int64(len(binary))+5 {
		t.Errorf("created %+v", c)
	}
	var got api.ClaimResponse
	decode(t, r.claim(c.ClaimToken).body, &got)
	if got.Burned || len(got.Files) != 4 || got.Files[1].Content != base64.StdEncoding.EncodeToString(binary) || got.Files[2].Content != "héll" || *got.Files[1].Role != "data" || got.Files[3].Encoding != "base64" {
		t.Error("claimed as JSON: something else")
	}
	head, payload, h := r.claimRaw(c.ClaimToken)
	if payload != string(binary)+"héll" || !head.Burned || head.Type != api.TypePackage || head.ContentBytes != nil || h.Get(api.HeaderRemainingReads) != "0" {
		t.Errorf("claimed raw: %d bytes, %+v", len(payload), head)
	}
	for i, f := range head.Files {
		if f != files[i] {
			t.Errorf("file %d is %+v", i, f)
		}
	}
	wantError(t, r.claim(c.ClaimToken, "Accept", api.TypeRaw), api.CodeGone, "burned")
}

// TestRawRepeated repeats raw creates and claims under their keys.
func TestRawRepeated(t *testing.T) {
	r := newRig(t)
	for name, content := range map[string]string{"short-0123456789-abcdef": "x", "long-0123456789-abcdef": strings.Repeat("long", 1<<20)} {
		size := int64(len(content))
		head := api.RawCreate{ContentType: api.TypeText, ContentBytes: &size, TTLSeconds: 60, MaxRetrievals: new(1)}
		body := rawBody(t, head, content)
		c := r.create(body, "Content-Type", api.TypeRaw, key, name)
		if again := r.create(body, "Content-Type", api.TypeRaw, key, name); again.ID != c.ID || again.ClaimToken != c.ClaimToken {
			t.Errorf("%s: a repeated create is another kubbi", name)
		}
		other := rawBody(t, head, content[1:], "y")
		wantError(t, r.call("POST", api.PathKubbis, other, "Content-Type", api.TypeRaw, key, name), api.CodeConflict, "Idempotency-Key")
		for range 2 {
			if _, payload, h := r.claimRaw(c.ClaimToken, key, keyOne); payload != content || h.Get(api.HeaderClaimGrace) != "60" {
				t.Errorf("%s: claimed %d bytes, %v", name, len(payload), h)
			}
		}
		if a := r.call("DELETE", "/r/"+c.ClaimToken+"/claim", "", key, keyOne); a.status != http.StatusNoContent {
			t.Errorf("%s: release: %d", name, a.status)
		}
		// The payload is wiped, and with it the claim token.
		wantError(t, r.call("POST", api.PathKubbis, body, "Content-Type", api.TypeRaw, key, name), api.CodeGone, "burned")
	}
}

// TestRawNegotiation checks who gets a raw answer, and where raw bodies are offered.
func TestRawNegotiation(t *testing.T) {
	r := newRig(t)
	c := r.text("x", "")
	for accept, want := range map[string]bool{
		api.TypeRaw: true, "application/json;q=0.5, " + api.TypeRaw: true, strings.ToUpper(api.TypeRaw) + ";q=0.1": true,
		"": false, "*/*": false, "application/*": false, "application/json": false, api.TypeRaw + ";q=0": false, "application/vnd.kubbi.raw2": false,
	} {
		a := r.claim(c.ClaimToken, "Accept", accept)
		if got := a.header.Get("Content-Type") == api.TypeRaw; a.status != 200 || got != want || !bytes.Contains(a.body, []byte("x")) {
			t.Errorf("Accept %q: %d %v", accept, a.status, a.header)
		}
		if v := a.header.Values("Vary"); len(v) != 1 || v[0] != "Accept" {
			t.Errorf("Accept %q: Vary is %q", accept, a.header.Values("Vary"))
		}
	}
	for _, a := range []answer{r.call("GET", "/health", ""), r.call("POST", api.PathKubbis, "{}")} {
		if got := a.header.Get(api.HeaderAcceptPost); got != "application/json, "+api.TypeRaw {
			t.Errorf("Accept-Post is %q", got)
		}
	}
	wantFaults(t, r.call("POST", api.PathKubbis, `{"content":"x","content_type":"text/plain","ttl_seconds":60}`, "Content-Type", api.TypeRaw),
		[]string{"the request body must begin with its head: a JSON object on one line of at most 107460 bytes"})
}
