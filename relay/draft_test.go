package relay_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubbi-mcp/internal/filename"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/relaytest"
)

func TestValidation(t *testing.T) {
	r := newRig(t)
	file := func(s string) string { return `{"files":[` + s + `],"ttl_seconds":60}` }
	const good = `{"name":"a","content":"x","content_type":"text/plain"}`
	for _, tc := range []struct {
		name, body string
		want       []string
	}{
		{"empty object", `{}`, []string{
			"exactly one of content and files must be given", "ttl_seconds is required"}},
		{"both", `{"content":"x","content_type":"text/plain","files":[` + good + `],"ttl_seconds":60}`, []string{
			"exactly one of content and files must be given"}},
		{"null files alone", `{"files":null,"ttl_seconds":60}`, []string{"exactly one of content and files must be given"}},
		{"all at once", `{"content":1,"content_type":"text/plain","ttl_seconds":"60","max_retrievals":0,"metadata":[]}`, []string{
			"content must be a string when content_type is text/plain", "ttl_seconds must be an integer",
			"max_retrievals must be between 1 and 2147483647", "metadata must be an object"}},
		{"no type", `{"content":"x","ttl_seconds":60}`, []string{"content_type is required"}},
		{"null type", `{"content":"x","content_type":null,"ttl_seconds":60}`, []string{"content_type is required"}},
		{"type not a string", `{"content":"x","content_type":7,"ttl_seconds":60}`, []string{"content_type must be a string"}},
		{"another type", `{"content":"x","content_type":"text/html","ttl_seconds":60}`, []string{
			"content_type must be one of text/plain, application/json, text/markdown, text/csv"}},
		{"type with parameter", `{"content":"x","content_type":"text/plain; charset=utf-8","ttl_seconds":60}`, []string{
			"content_type must be one of text/plain, application/json, text/markdown, text/csv"}},
		{"null text", `{"content":null,"content_type":"text/csv","ttl_seconds":60}`, []string{
			"content must be a string when content_type is text/csv"}},
		{"short ttl", `{"content":"x","content_type":"text/plain","ttl_seconds":59}`, []string{"ttl_seconds must be between 60 and 86400"}},
		{"long ttl", `{"content":"x","content_type":"text/plain","ttl_seconds":86401}`, []string{"ttl_seconds must be between 60 and 86400"}},
		{"huge ttl", `{"content":"x","content_type":"text/plain","ttl_seconds":99999999999999999999}`, []string{"ttl_seconds must be between 60 and 86400"}},
		{"negative ttl", `{"content":"x","content_type":"text/plain","ttl_seconds":-60}`, []string{"ttl_seconds must be between 60 and 86400"}},
		{"float ttl", `{"content":"x","content_type":"text/plain","ttl_seconds":60.0}`, []string{"ttl_seconds must be an integer"}},
		{"exponent ttl", `{"content":"x","content_type":"text/plain","ttl_seconds":6e2}`, []string{"ttl_seconds must be an integer"}},
		{"null ttl", `{"content":"x","content_type":"text/plain","ttl_seconds":null}`, []string{"ttl_seconds must be an integer"}},
		{"retrievals", `{"content":"x","content_type":"text/plain","ttl_seconds":60,"max_retrievals":1.5}`, []string{"max_retrievals must be an integer"}},
		{"retrievals", `{"content":"x","content_type":"text/plain","ttl_seconds":60,"max_retrievals":2147483648}`, []string{"max_retrievals must be between 1 and 2147483647"}},
		{"retrievals", `{"content":"x","content_type":"text/plain","ttl_seconds":60,"max_retrievals":true}`, []string{"max_retrievals must be an integer"}},
		{"metadata", `{"content":"x","content_type":"text/plain","ttl_seconds":60,"metadata":"x"}`, []string{"metadata must be an object"}},
		{"metadata", `{"content":"x","content_type":"text/plain","ttl_seconds":60,"metadata":{"k":"` + strings.Repeat("m", 1017) + `"}}`, []string{
			"metadata must be at most 1024 bytes when serialized, and is 1025"}},
		{"files not an array", `{"files":{},"ttl_seconds":60}`, []string{"files must be an array"}},
		{"no files", file(""), []string{"files must have 1 to 20 files, and has 0"}},
		{"many files", file(strings.TrimSuffix(strings.Repeat(good+",", 50), ",")), append(
			[]string{"files must have 1 to 20 files, and has 50"}, uniqueness(20)...)},
		{"not an object", file(`"a",` + good), []string{"files[0] must be an object"}},
		{"empty file", file(`{}`), []string{"files[0].name is required", "files[0].content_type is required", "files[0].content is required"}},
		{"all of a file", file(good + `,{"name":"../x","content":5,"content_type":"text","role":"boss","encoding":"gzip"}`), []string{
			`files[1].name must not have any of / \ : * ? " < > |, which Windows can't save: send it as "_x", for example`, "files[1].content_type must be a MIME type, type/subtype without parameters",
			"files[1].role must be one of instructions, data, context, config, attachment",
			"files[1].encoding must be base64 or absent", "files[1].content must be a string"}},
		{"kinds", file(`{"name":1,"content":null,"content_type":[],"role":{},"encoding":0}`), []string{
			"files[0].name must be a string", "files[0].content_type must be a string", "files[0].role must be a string",
			"files[0].encoding must be a string", "files[0].content must be a string"}},
		{"twins", file(good + `,{"name":"A","content":"x","content_type":"text/plain"}`), []string{
			"files[1].name must be unique in the package, ignoring case and Unicode form; files[0] has it"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			wantFaults(t, r.call("POST", api.PathKubbis, tc.body), tc.want)
		})
	}
	// Just within the rules.
	for _, body := range []string{
		`{"content":"x","content_type":"text/plain","ttl_seconds":86400,"max_retrievals":2147483647,"metadata":{"k":"` + strings.Repeat("m", 1016) + `"}}`,
		`{"content":"x","content_type":"text/plain","ttl_seconds":60,"max_retrievals":null,"metadata":null,"files":null}`,
		`{"content":"x","content_type":"text/plain","ttl_seconds":60,"metadata":{}}`,
		file(good),
	} {
		r.create(body)
	}
}

func uniqueness(n int) (out []string) {
	for i := 1; i < n; i++ {
		out = append(out, fmt.Sprintf("files[%d].name must be unique in the package, ignoring case and Unicode form; files[0] has it", i))
	}
	return out
}

func wantFaults(t testing.TB, a answer, want []string) {
	t.Helper()
	wantHeaders(t, api.PathKubbis, a)
	wantMessages(t, a, want)
}

func wantMessages(t testing.TB, a answer, want []string) {
	t.Helper()
	wantError(t, a, api.CodeValidation, "")
	var e api.ErrorBody
	decode(t, a.body, &e)
	if diff := cmp.Diff(want, e.Messages); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	if len(want) == 1 && e.Message != want[0] {
		t.Errorf("message is %q, want %q", e.Message, want[0])
	}
}

func TestFileRules(t *testing.T) {
	r := newRig(t)
	try := func(name, contentType, content, more string) answer {
		return r.call("POST", api.PathKubbis, fmt.Sprintf(`{"files":[{"name":%q,"content_type":%q,"content":%q%s}],"ttl_seconds":60}`, name, contentType, content, more))
	}
	for _, name := range []string{"", ".env", "-x", "a..b", "a/b", `a\b`, "aux.h", "notes.", "a\u202eb", strings.Repeat("n", 256)} {
		wantFaults(t, try(name, "text/plain", "", ""), []string{"files[0].name " + filename.Fault(name)})
	}
	wantFaults(t, r.call("POST", api.PathKubbis, `{"files":[{"name":"a\u0000b","content_type":"text/plain","content":""}],"ttl_seconds":60}`),
		[]string{"files[0].name " + filename.Fault("a\x00b")})
	for _, name := range []string{"a", "0", "a.b-c_d.E", strings.Repeat("n", 255), "_x", "a b", "é", "e\u0301", "отчёт.csv", "🎉.json", "می\u200cخواهم.txt", strings.Repeat("я", 127)} {
		if a := try(name, "text/plain", "", ""); a.status != http.StatusCreated {
			t.Errorf("name %.20q: %s", name, a.body)
		}
	}
	const mime = "files[0].content_type must be a MIME type, type/subtype without parameters"
	for _, ct := range []string{"", "text", "text/", "/plain", "text/plain; charset=utf-8", "a/b/c", "text/pl ain", "text/" + strings.Repeat("x", 128), "te\"xt/plain", ".a/b"} {
		wantFaults(t, try("a", ct, "", ""), []string{mime})
	}
	for _, ct := range []string{"text/plain", "application/vnd.ms-excel.sheet+xml", "image/svg+xml", "x/y"} {
		if a := try("a", ct, "", ""); a.status != http.StatusCreated {
			t.Errorf("type %q: %s", ct, a.body)
		}
	}
	const base64 = "files[0].content must be base64: the standard alphabet, padded, without line breaks"
	for _, content := range []string{"A", "AA", "AAA", "AA=", "A===", "====", "AB==", "AA==AA==", "AAAA\n", "AA\n==", "A-_A", "AAAA====", " AAAA", "é", strings.Repeat("AAAA", 1023) + "AA==" + "AAAA"} {
		wantFaults(t, try("a", "a/b", content, `,"encoding":"base64"`), []string{base64})
	}
	for _, content := range []string{"", "AA==", "AAA=", "AAAA", strings.Repeat("AAAA", 1024), strings.Repeat("/+9x", 5000) + "AA=="} {
		a := try("a", "a/b", content, `,"encoding":"base64"`)
		if a.status != http.StatusCreated {
			t.Fatalf("%.20s: %s", content, a.body)
		}
		var c api.CreateResponse
		decode(t, a.body, &c)
		var got api.ClaimResponse
		decode(t, r.claim(c.ClaimToken).body, &got)
		if got.Files[0].Content != content {
			t.Errorf("%.20s came back as %.20s", content, got.Files[0].Content)
		}
	}
}

func TestBodyFaults(t *testing.T) {
	r := newRig(t)
	const secret = "s3cr3t-payload"
	for _, tc := range []struct{ name, body, want string }{
		{"empty", "", "the request body must be a JSON object"},
		{"not JSON", secret, "the request body is not valid JSON"},
		{"cut", `{"content":"` + secret, "the request body is not valid JSON: it ends early"},
		{"array", `["` + secret + `"]`, "the request body must be a JSON object"},
		{"null", `null`, "the request body must be a JSON object"},
		{"string", `"` + secret + `"`, "the request body must be a JSON object"},
		{"trailing", `{"content":"` + secret + `"} {}`, "the request body has data after its JSON object"},
		{"trailing garbage", `{"content":"` + secret + `"}` + secret, "the request body is not valid JSON"},
		{"duplicate", `{"content":"` + secret + `","content":1}`, "the request body names a member of an object twice"},
		{"duplicate in metadata", `{"metadata":{"a":{"` + secret + `":1,"` + secret + `":2}}}`, "the request body names a member of an object twice"},
		{"duplicate unknown", `{"x":1,"x":{}}`, "the request body names a member of an object twice"},
		{"duplicate in file", `{"files":[{"name":"a","name":"b"}]}`, "the request body names a member of an object twice"},
		{"UTF-8", "{\"content\":\"" + secret + "\xff\"}", "the request body is not valid UTF-8"},
		{"UTF-8 in unknown", "{\"x\":\"\xc3\"}", "the request body is not valid UTF-8"},
		{"surrogate", `{"content":"` + secret + `\ud800"}`, "the request body has half a surrogate pair in a string"},
		{"surrogates swapped", `{"content":"\udc00\ud800"}`, "the request body has half a surrogate pair in a string"},
		{"control", "{\"content\":\"" + secret + "\n\"}", "the request body is not valid JSON"},
		{"deep", strings.Repeat("[", 20000), "the request body is not valid JSON"},
		{"deep inside", `{"content":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, "the request body is not valid JSON"},
		{"comma", `{"content":1,}`, "the request body is not valid JSON"},
		{"single quotes", `{'content':1}`, "the request body is not valid JSON"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := rig{r.Server, t}.call("POST", api.PathKubbis, tc.body)
			wantError(t, a, api.CodeValidation, tc.want)
			if bytes.Contains(a.body, []byte(secret[:6])) {
				t.Errorf("answer quotes the body: %s", a.body)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	l := api.DefaultLimits()
	l.ContentBytes, l.PackageBytes, l.Files, l.MetadataBytes = 1000, 2000, 2, 20
	r := newRig(t, relaytest.WithLimits(l))
	text := func(n int, s string) string {
		return `{"content":"` + strings.Repeat(s, n) + `","content_type":"text/plain","ttl_seconds":60}`
	}
	// The limit counts the text, not its JSON.
	for _, s := range []string{"a", `\u0000`, `\n`} {
		if a := r.call("POST", api.PathKubbis, text(1000, s)); a.status != http.StatusCreated {
			t.Errorf("1000 of %s: %s", s, a.body)
		}
		wantFaults(t, r.call("POST", api.PathKubbis, text(1001, s)), []string{"content must be at most 1000 bytes, and is 1001"})
	}
	wantFaults(t, r.call("POST", api.PathKubbis, text(501, "é")), []string{"content must be at most 1000 bytes, and is 1002"})
	wantFaults(t, r.call("POST", api.PathKubbis, `{"content":[`+strings.Repeat(" ", 999)+`],"content_type":"application/json","ttl_seconds":60}`),
		[]string{"content must be at most 1000 bytes, and is 1001"})
	files := func(n int) string {
		return fmt.Sprintf(`{"files":[{"name":"a","content":"%s","content_type":"a/b"},{"name":"b","content":"AAA=","encoding":"base64","content_type":"a/b"}],"ttl_seconds":60}`, strings.Repeat("a", n))
	}
	if a := r.call("POST", api.PathKubbis, files(1998)); a.status != http.StatusCreated {
		t.Errorf("package at the limit: %s", a.body)
	}
	wantFaults(t, r.call("POST", api.PathKubbis, files(1999)), []string{"files must be at most 2000 bytes together, and are 2001"})
	big := strings.Repeat("a", 100_000)
	a := r.call("POST", api.PathKubbis, `{"content":"`+big+`"}`)
	wantError(t, a, api.CodeTooLarge, "the request body must be at most ")
	wantHeaders(t, api.PathKubbis, a)
	// The same without a Content-Length.
	req, err := http.NewRequest("POST", r.URL+api.PathKubbis, struct{ *strings.Reader }{strings.NewReader(`{"content":"` + big + `"}`)})
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = -1
	req.Header.Set("Authorization", "Bearer "+r.APIKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("unannounced: %s", resp.Status)
	}
}
