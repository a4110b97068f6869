package tools

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/relay/relaytest"
)

// TestSealed hands on what is sealed from tool to tool: the claim URL keeps its
// key, and without it a model is told what was lost and that nothing was spent.
func TestSealed(t *testing.T) {
	relay := relaytest.New(t)
	c := newCaller(t, relay.APIKey, relay.URL)
	send := func(tool, args string) string {
		res := c.call(t, tool, args)
		var out struct {
			ClaimURL string `json:"claim_url"`
		}
		if err := json.Unmarshal(res.RawStructuredContent, &out); err != nil || res.IsError {
			t.Fatalf("%s: %v: %+v", tool, err, res)
		}
		return out.ClaimURL
	}
	single := send("send", `{"content":"the-plaintext","sealed":true,"max_retrievals":1}`)
	pack := send("send_files", `{"files":[{"name":"secret-name.txt","content":"the-plaintext"}],"sealed":true,"max_retrievals":1}`)
	for what, url := range map[string]string{"content": single, "package": pack} {
		bare, key, ok := strings.Cut(url, "#k=")
		if !ok || len(key) != 43 {
			t.Fatalf("%s: the claim_url has no key", what)
		}
		token := bare[strings.LastIndexByte(bare, '/')+1:]
		ask := func(tool, url string) (*mcp.CallToolResult, string) {
			res := c.call(t, tool, `{"claim_url":"`+url+`"}`)
			b, err := AppendResult(nil, res)
			if err != nil {
				t.Fatal(err)
			}
			return res, string(b)
		}
		for _, seen := range []string{url, bare, token} {
			if res, text := ask("inspect", seen); res.IsError || !strings.Contains(text, `"kid"`) || strings.Contains(text, key) || strings.Contains(text, "secret-name") {
				t.Errorf("%s: inspect gives %s", what, text)
			}
		}
		for url, says := range map[string]string{
			bare:                          "part after # of its claim URL",
			token:                         "part after # of its claim URL",
			bare + "#k=" + key[1:]:        "not a whole key",
			bare + "#k=" + anyToken:       "another key",
			token + "#" + key + "#" + key: "not a whole key",
		} {
			res, text := ask("claim", url)
			if !res.IsError || !strings.Contains(text, says) || !strings.Contains(text, "nothing was claimed") || c.outcome != "validation_error" {
				t.Errorf("%s: claim gives %s, outcome %s", what, text, c.outcome)
			}
			if strings.Contains(text, key[1:]) || strings.Contains(text, token) {
				t.Errorf("%s: an error shows a secret: %s", what, text)
			}
		}
		if res, text := ask("claim", "  "+url+" "); res.IsError || !strings.Contains(text, "the-plaintext") || strings.Contains(text, "eyJ") {
			t.Errorf("%s: claim gives %s", what, text)
		}
		if strings.Contains(c.log.String(), key) || strings.Contains(c.log.String(), "the-plaintext") {
			t.Errorf("%s: the log shows a secret", what)
		}
	}
}
