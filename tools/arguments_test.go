package tools

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/relay/relaytest"
)

const pngData = "iVBORw0KGgo="

// TestArgumentsInOtherShapes makes calls as hosts and models write them, and checks what
// was stored.
func TestArgumentsInOtherShapes(t *testing.T) {
	relay := relaytest.New(t)
	c := newCaller(t, relay.APIKey, relay.URL)
	for name, tt := range map[string]struct{ tool, args, want string }{
		// What is left out.
		"null":              {"send", `{"content":"x","path":null,"content_type":null,"ttl_seconds":null,"max_retrievals":null,"sealed":null,"metadata":null}`, `"x" text/plain 3600 0 {}`},
		"empty":             {"send", `{"content":"x","path":"","content_type":"","ttl_seconds":"","max_retrievals":"","sealed":"","metadata":""}`, `"x" text/plain 3600 0 {}`},
		"blank":             {"send", `{"content":"x","content_type":" ","ttl_seconds":" ","metadata":"  "}`, `"x" text/plain 3600 0 {}`},
		"null as text":      {"send", `{"content":"null","content_type":"null","ttl_seconds":"null","sealed":"null","metadata":"null"}`, `"null" text/plain 3600 0 {}`},
		"the text is empty": {"send", `{"content":""}`, `"" text/plain 3600 0 {}`},
		"null in a file":    {"send_files", `{"files":[{"name":"a.txt","content":"x","path":null,"content_type":null,"role":null,"encoding":null}],"sealed":null}`, `a.txt text/plain "x" -; 3600 0 {}`},
		"empty in a file":   {"send_files", `{"files":[{"name":"a.txt","content":"","path":"","content_type":"","role":"","encoding":""}],"max_retrievals":""}`, `a.txt text/plain "" -; 3600 0 {}`},
		"encoding none":     {"send_files", `{"files":[{"name":"a.txt","content":"x","encoding":"utf-8"},{"name":"b.txt","content":"y","encoding":"none"}]}`, `a.txt text/plain "x" -; b.txt text/plain "y" -; 3600 0 {}`},
		// What comes as a text.
		"numbers":           {"send", `{"content":"x","ttl_seconds":"600","max_retrievals":" 2 ","sealed":"False"}`, `"x" text/plain 600 2 {}`},
		"a float":           {"send", `{"content":"x","ttl_seconds":"600.0","max_retrievals":2.0}`, `"x" text/plain 600 2 {}`},
		"metadata":          {"send", `{"content":"x","metadata":"{\"a\":[1]}"}`, `"x" text/plain 3600 0 {"a":[1]}`},
		"files":             {"send_files", `{"files":"[{\"name\":\"a.txt\",\"content\":\"x\"}]"}`, `a.txt text/plain "x" -; 3600 0 {}`},
		"each file":         {"send_files", `{"files":["{\"name\":\"a.txt\",\"content\":\"x\"}"]}`, `a.txt text/plain "x" -; 3600 0 {}`},
		"one file":          {"send_files", `{"files":{"name":"a.txt","content":"x"}}`, `a.txt text/plain "x" -; 3600 0 {}`},
		"one file as text":  {"send_files", `{"files":"{\"name\":\"a.txt\",\"content\":\"x\"}","ttl_seconds":"600"}`, `a.txt text/plain "x" -; 600 0 {}`},
		"metadata of PHP":   {"send", `{"content":"x","metadata":[]}`, `"x" text/plain 3600 0 {}`},
		"all arguments":     {"send", `"{\"content\":\"x\"}"`, `"x" text/plain 3600 0 {}`},
		"times":             {"send", `{"content":"x","ttl_seconds":"1h"}`, `"x" text/plain 3600 0 {}`},
		"minutes":           {"send", `{"content":"x","ttl_seconds":"30m"}`, `"x" text/plain 1800 0 {}`},
		"a day":             {"send", `{"content":"x","ttl_seconds":"1d"}`, `"x" text/plain 86400 0 {}`},
		"hours and minutes": {"send", `{"content":"x","ttlSeconds":"1h 30 minutes"}`, `"x" text/plain 5400 0 {}`},
		"half an hour":      {"send", `{"content":"x","ttlSeconds":"0.5 h"}`, `"x" text/plain 1800 0 {}`},
		"an ISO time":       {"send", `{"content":"x","ttlSeconds":"PT1H30M"}`, `"x" text/plain 5400 0 {}`},
		"an ISO day":        {"send", `{"content":"x","ttlSeconds":"p1d"}`, `"x" text/plain 86400 0 {}`},
		// A value where a text is meant.
		"an object as a file": {"send_files", `{"files":[{"name":"package.json","content":{"name":"demo","n":1.50}}]}`, `package.json application/json "{\"name\":\"demo\",\"n\":1.50}" -; 3600 0 {}`},
		"a number as a file":  {"send_files", `{"files":[{"name":"n.txt","content":42},{"name":7,"content":[1,2]}]}`, `n.txt text/plain "42" -; 7 text/plain "[1,2]" -; 3600 0 {}`},
		"an object as text":   {"send", `{"content":{"a":1},"content_type":"text/plain"}`, `"{\"a\":1}" text/plain 3600 0 {}`},
		"a number as text":    {"send", `{"content":1.0,"content_type":"md"}`, `"1.0" text/markdown 3600 0 {}`},
		"an object":           {"send", `{"content":{"a":1}}`, `{"a":1} application/json 3600 0 {}`},
		"JSON text":           {"send", `{"content":"{\"a\":1}","content_type":"json"}`, `{"a":1} application/json 3600 0 {}`},
		// Other names.
		"camelCase":               {"send", `{"content":"x","contentType":"text/csv","ttlSeconds":600,"maxRetrievals":1,"metadata":{"a":1}}`, `"x" text/csv 600 1 {"a":1}`},
		"camelCase in a file":     {"send_files", `{"Files":[{"Name":"a.txt","content":"x","contentType":"text/html"}],"MaxRetrievals":1}`, `a.txt text/html "x" -; 3600 1 {}`},
		"hyphens":                 {"send", `{"content":"x","content-type":"text/csv","TTL_SECONDS":600}`, `"x" text/csv 600 0 {}`},
		"one of them is null":     {"send", `{"content":"x","contentType":null,"content_type":"text/csv"}`, `"x" text/csv 3600 0 {}`},
		"keys of hosts":           {"send", `{"content":"x","wait_for_previous":true,"_meta":{},"sessionId":"1","action":"sendMessage","chatInput":"x","toolCallId":"c","security_context":{},"random_string":"d"}`, `"x" text/plain 3600 0 {}`},
		"a key of a host, nested": {"send_files", `{"files":[{"name":"a.txt","content":"x","_id":1}]}`, `a.txt text/plain "x" -; 3600 0 {}`},
		// Content types and encodings.
		"parameters":         {"send", `{"content":"x","content_type":"text/plain; charset=utf-8"}`, `"x" text/plain 3600 0 {}`},
		"upper case":         {"send", `{"content":"x","content_type":"TEXT/MARKDOWN"}`, `"x" text/markdown 3600 0 {}`},
		"short":              {"send", `{"content":"x","content_type":"txt"}`, `"x" text/plain 3600 0 {}`},
		"types of files":     {"send_files", `{"files":[{"name":"a","content":"x","content_type":"Text/HTML; charset=\"utf-8\""},{"name":"b","content":"x","content_type":"csv"},{"name":"c","content":"{}","content_type":".json"}]}`, `a text/html "x" -; b text/csv "x" -; c application/json "{}" -; 3600 0 {}`},
		"a role":             {"send_files", `{"files":[{"name":"a.txt","content":"x","role":"Data"}]}`, `a.txt text/plain "x" data; 3600 0 {}`},
		"line breaks":        {"send_files", `{"files":[{"name":"a.bin","encoding":"BASE64","content":"AAEC\r\nAwQF\n"}]}`, `a.bin application/octet-stream "AAECAwQF" base64; 3600 0 {}`},
		"no padding":         {"send_files", `{"files":[{"name":"a.bin","encoding":"base64","content":"AAECAwQFBg"}]}`, `a.bin application/octet-stream "AAECAwQFBg==" base64; 3600 0 {}`},
		"loose bits":         {"send_files", `{"files":[{"name":"a.bin","encoding":"base64","content":"AAECAwQFBh=="}]}`, `a.bin application/octet-stream "AAECAwQFBg==" base64; 3600 0 {}`},
		"URL-safe":           {"send_files", `{"files":[{"name":"a.bin","encoding":"base64url","content":"-_-_"}]}`, `a.bin application/octet-stream "+/+/" base64; 3600 0 {}`},
		"a data URI":         {"send_files", `{"files":[{"name":"a","encoding":"base64","content":"data:image/png;base64,` + pngData + `"}]}`, `a image/png "` + pngData + `" base64; 3600 0 {}`},
		"a data URI, typed":  {"send_files", `{"files":[{"name":"a","content_type":"image/x-mine","content":"data:image/png;base64,iVBORw0KGgo"}]}`, `a image/x-mine "` + pngData + `" base64; 3600 0 {}`},
		"a data URI, named":  {"send_files", `{"files":[{"name":"a.png","content":"data:image/png;charset=x;base64,` + pngData + `"}]}`, `a.png image/png "` + pngData + `" base64; 3600 0 {}`},
		"a data URI as text": {"send_files", `{"files":[{"name":"a.txt","content":"data:image/png;base64,` + pngData + `"}]}`, `a.txt text/plain "data:image/png;base64,` + pngData + `" -; 3600 0 {}`},
		// What stands in content is content.
		"no double":           {"send", `{"content":[1e400,9007199254740993,-0]}`, `[1e400,9007199254740993,-0] application/json 3600 0 {}`},
		"a name twice":        {"send", `{"content":{"a":1,"a":[1e400]}}`, `{"a":1,"a":[1e400]} application/json 3600 0 {}`},
		"no double in a file": {"send_files", `{"files":[{"name":"a.json","content":[1e400,{"a":1,"a":2}]}]}`, `a.json application/json "[1e400,{\"a\":1,\"a\":2}]" -; 3600 0 {}`},
	} {
		t.Run(name, func(t *testing.T) {
			res := c.direct(t, tt.tool, tt.args)
			if res.IsError {
				t.Fatalf("refused: %s", res.Content[0].(mcp.TextContent).Text)
			}
			var sent struct {
				ID       string `json:"id"`
				ClaimURL string `json:"claim_url"`
			}
			if err := json.Unmarshal(res.RawStructuredContent, &sent); err != nil {
				t.Fatal(err)
			}
			if got := stored(t, relay, sent.ClaimURL); got != tt.want {
				t.Errorf("stored %s\nwant   %s", got, tt.want)
			}
		})
	}
}

// direct calls a tool with the arguments as they are. mcp-go would decode them first, and
// refuse a number that no double holds.
func (c *caller) direct(t *testing.T, tool, args string) *mcp.CallToolResult {
	t.Helper()
	var req mcp.CallToolRequest
	req.Params.Name, req.Params.RawArguments = tool, json.RawMessage(args)
	res, err := c.s.GetTool(tool).Handler(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// stored claims from the relay itself, and words what it got: content or files, time to
// live, retrievals and metadata.
func stored(t *testing.T, relay *relaytest.Server, claimURL string) string {
	t.Helper()
	client := newClient(t, "", relay.URL)
	seen, err := client.Inspect(t.Context(), claimURL)
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.Claim(t.Context(), claimURL)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if len(got.Files) == 0 {
		fmt.Fprintf(&b, "%s %s ", got.Content, got.ContentType)
	}
	for _, f := range got.Files {
		as := f.Encoding
		if f.Role != nil {
			as += *f.Role
		}
		content, _ := json.Marshal(f.Content)
		fmt.Fprintf(&b, "%s %s %s %s; ", f.Name, f.ContentType, content, cmp.Or(as, "-"))
	}
	limit, metadata := 0, "{}"
	if seen.MaxRetrievals != nil {
		limit = *seen.MaxRetrievals
	}
	if len(seen.Metadata) > 0 && string(seen.Metadata) != "null" {
		metadata = string(seen.Metadata)
	}
	fmt.Fprintf(&b, "%.0f %d %s", seen.ExpiresAt.Sub(seen.CreatedAt.Time).Seconds(), limit, metadata)
	return b.String()
}

// TestArgumentsRefused makes calls with two meanings, or none: nothing is sent, and the
// answer names the argument and the cure, but no value.
func TestArgumentsRefused(t *testing.T) {
	var asked atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer srv.Close()
	c := newCaller(t, "kb_test-key", srv.URL)
	for _, tt := range []struct{ tool, args, says string }{
		{"send", `{"content":"secret-value","ttl_seconds":"12px"}`, "ttl_seconds: must be integer, is string"},
		{"send", `{"content":"secret-value","ttl_seconds":"-1h"}`, "ttl_seconds"},
		{"send", `{"content":"secret-value","ttl_seconds":"P1M"}`, "ttl_seconds"},
		{"send", `{"content":"secret-value","ttl_seconds":"P1DT"}`, "ttl_seconds"},
		{"send", `{"content":"secret-value","ttl_seconds":"99999999999999999999d"}`, "ttl_seconds"},
		{"send", `{"content":"secret-value","ttl_seconds":"3 days"}`, "ttl_seconds: must be at most 86400"},
		{"send", `{"content":"secret-value","ttl_seconds":"30"}`, "ttl_seconds: must be at least 60"},
		{"send", `{"content":"secret-value","ttl_seconds":"1e400"}`, "ttl_seconds"},
		{"send", `{"content":"secret-value","ttl_seconds":1e400}`, "ttl_seconds"},
		{"send", `{"content":"secret-value","ttl_seconds":600.5}`, "ttl_seconds"},
		{"send", `{"content":"secret-value","sealed":"yes"}`, "sealed: must be boolean, is string"},
		{"send", `{"content":"secret-value","sealed":1}`, "sealed: must be boolean"},
		{"send", `{"content":"secret-value","metadata":"secret-value"}`, "metadata must be a JSON object"},
		{"send", `{"content":"secret-value","metadata":[1]}`, "metadata must be a JSON object"},
		{"send", `{"content":"secret-value","metadata":{"a":1,"a":2}}`, "metadata has a name twice"},
		{"send", `{"content":"secret-value","content_type":"text/html"}`, "content_type: must be one of text/plain"},
		{"send", `{"content":"secret-value","content_type":"application/json"}`, "valid JSON"},
		{"send", `{"content":"secret-value","ttl_second":600}`, "did you mean ttl_seconds?"},
		{"send", `{"content":"secret-value","ttl":600}`, "did you mean ttl_seconds?"},
		{"send", `{"content":"secret-value","maxRetreivals":1}`, "did you mean max_retrievals?"},
		{"send", `{"content":"secret-value","max_retreival":1}`, "did you mean max_retrievals?"},
		{"send", `{"content":"secret-value","expiresIn":60,"max_claims":1}`, "unknown \"expiresIn\", \"max_claims\": did you mean ttl_seconds, max_retrievals?"},
		{"send", `{"content":"secret-value","color":60}`, "unknown \"color\" (this tool takes content, content_type,"},
		{"send_files", `{"files":[{"name":"a.txt","text":"secret-value","mimeType":"x"}]}`, "files.0: unknown \"mimeType\", \"text\": did you mean content_type, content?"},
		{"send_files", `{"files":["secret-value"]}`, "files.0: must be object, is string (known: content,"},
		{"claim", `{"id":"00000000-0000-4000-8000-000000000000"}`, "did you mean claim_url?"},
		{"get", `{"claim_url":"secret-value"}`, "did you mean id?"},
		{"send", `{"content":"secret-value","ttl_seconds":600,"ttlSeconds":600}`, `"ttl_seconds" and "ttlSeconds" are the same argument`},
		{"send", `{"content":"secret-value","content":"secret-value"}`, "given twice"},
		{"send", `{"content":null}`, "one of content, path and env"},
		{"send", `{"content":null,"path":""}`, "one of content, path and env"},
		{"send", `{}`, "one of content, path and env"},
		{"send", `null`, "one of content, path and env"},
		{"send", `"{}"`, "one of content, path and env"},
		{"send", `["secret-value"]`, "must be object, is array"},
		{"send", `"secret-value"`, "must be object, is string"},
		{"send_files", `{}`, "files is required"},
		{"send_files", `{"files":""}`, "files is required"},
		{"send_files", `{"files":[]}`, "files: must not be empty"},
		{"send_files", `{"files":"secret-value"}`, "files: must be array, is string"},
		{"send_files", `{"files":[null]}`, "files.0: must be object, is null"},
		{"send_files", `{"files":[{"name":"a.txt"}]}`, "files.0: give either content or path"},
		{"send_files", `{"files":[{"content":"secret-value"}]}`, "files.0: name is required with content"},
		{"send_files", `{"files":[{"name":"a.txt","contents":"secret-value"}]}`, "files.0: unknown \"contents\": did you mean content?"},
		{"send_files", `{"files":[{"name":"a.txt","content":"x","wait_for_previous":true}]}`, "files.0: unknown"},
		{"send_files", `{"files":[{"name":"a.txt","content":"x","contentType":"text/csv","content_type":"text/csv"}]}`, "the same argument"},
		{"send_files", `{"files":[{"name":"a.txt","content":"x","role":"boss"}]}`, "files.0.role: must be one of"},
		{"send_files", `{"files":[{"name":"a.txt","content":"x","encoding":"gzip"}]}`, "files.0.encoding: must be one of text, base64"},
		{"claim", `{}`, "claim_url is required"},
		{"claim", `{"claim_url":""}`, "claim URL is empty"},
		{"claim", `{"claim_url":null}`, "claim_url is required"},
		{"claim", `{"url":"secret-value"}`, "did you mean claim_url?"},
		{"claim", `{"claim_url":"` + srv.URL + `/r/` + anyToken + ` or ` + srv.URL + `/r/B` + anyToken[1:] + `"}`, "two different claim URLs"},
		{"claim", `{"claim_url":"00000000-0000-4000-8000-000000000000"}`, "No claim URL is kept for this id"},
		{"inspect", `{"claim_url":"kubbi://00000000-0000-4000-8000-000000000000"}`, "No claim URL is kept for this id"},
		{"get", `{"id":"` + srv.URL + `/r/` + anyToken + `"}`, "this is a claim URL"},
		{"delete", `{"id":"` + anyToken + `"}`, "this is a claim URL"},
		{"get", `{"id":{"a":1}}`, "id: must be string, is object"},
		{"list", `{"limit":"many"}`, "limit: must be integer"},
		{"list", `{"status":"gone"}`, "status: must be one of active, expired, burned, deleted"},
	} {
		res := c.direct(t, tt.tool, tt.args)
		text := res.Content[0].(mcp.TextContent).Text
		if !res.IsError || !strings.Contains(text, tt.says) || strings.Contains(text, "secret-value") || strings.Contains(text, anyToken) {
			t.Errorf("%s %s\n says %q\n want %q", tt.tool, tt.args, text, tt.says)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("%d requests were made", n)
	}
}

// TestClaimURLsInOtherShapes calls claim and inspect with what agents pass on.
func TestClaimURLsInOtherShapes(t *testing.T) {
	relay := relaytest.New(t)
	c := newCaller(t, relay.APIKey, relay.URL)
	var sent struct {
		ID       string `json:"id"`
		ClaimURL string `json:"claim_url"`
	}
	if err := json.Unmarshal(c.call(t, "send", `{"content":"x"}`).RawStructuredContent, &sent); err != nil {
		t.Fatal(err)
	}
	u := sent.ClaimURL
	for _, args := range []string{
		`{"claim_url":"` + u + `"}`, `{"claimUrl":"` + u + `"}`, `{"claimURL":" <` + u + `|claim> "}`, `{"claim_url":"Here: ` + u + `."}`,
		`{"claim_url":{"type":"kubbi_claim_url","url":"` + u + `"}}`, `{"claim_url":{"input_type":"kubbi","claim_url":"` + u + `"}}`,
		`{"claim_url":"{\"type\":\"kubbi_claim_url\",\"url\":\"` + u + `\"}"}`,
		`{"type":"kubbi_claim_url","url":"` + u + `"}`, `{"input_type":"kubbi","claim_url":"` + u + `"}`,
		`{"claim_url":"` + strings.Replace(u, "http://127.0.0.1", "localhost", 1) + `","toolCallId":"x"}`,
	} {
		for _, tool := range []string{"inspect", "claim"} {
			if res := c.call(t, tool, args); res.IsError {
				t.Errorf("%s %s: %s", tool, args, res.Content[0].(mcp.TextContent).Text)
			}
		}
	}
	for _, args := range []string{`{"id":"kubbi://` + sent.ID + `"}`, `{"ID":" ` + strings.ToUpper(sent.ID) + `"}`} {
		for _, tool := range []string{"get", "delete"} {
			if res := c.call(t, tool, args); res.IsError && !strings.Contains(res.Content[0].(mcp.TextContent).Text, "no longer active") {
				t.Errorf("%s %s: %s", tool, args, res.Content[0].(mcp.TextContent).Text)
			}
		}
	}
}
