package tools

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/relaytest"
)

// TestSealed passes sealed kubbis from tool to tool: the claim URL keeps its key. Without
// the key the answer says what is missing, and that nothing was spent.
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

// TestSealedForgedLeavesNothing saves a payload that is changed or cut off near its end, when
// most of it has been written: nothing is left, and the same claim gives the payload once the
// relay is honest.
func TestSealedForgedLeavesNothing(t *testing.T) {
	sender, relay := newSender(t)
	origin, err := url.Parse(relay.URL)
	if err != nil {
		t.Fatal(err)
	}
	const segment = 64 << 10
	text := strings.Repeat("s3cr3t ", 100_000) // eleven segments
	for name, change := range map[string]func([]byte) []byte{
		"last byte":     func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"fifth segment": func(b []byte) []byte { b[5*segment] ^= 1; return b },
		"cut off":       func(b []byte) []byte { return b[:len(b)-segment] },
	} {
		sent, err := sender.SendFiles(t.Context(), kubbi.SendFilesParams{Sealed: true, MaxRetrievals: 1, Files: []kubbi.File{
			{Name: "first.txt", Content: "first", ContentType: "text/plain"}, {Name: "second.txt", Content: text, ContentType: "text/plain"},
		}})
		if err != nil {
			t.Fatal(err)
		}
		var clear atomic.Bool
		proxy := httptest.NewServer(&httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(origin) },
			ModifyResponse: func(resp *http.Response) error {
				if resp.Header.Get("Content-Type") != api.TypeRaw || clear.Load() {
					return nil
				}
				b, err := io.ReadAll(resp.Body)
				if err != nil {
					return err
				}
				line, sealed, _ := bytes.Cut(b, []byte("\n"))
				size := fmt.Sprintf(`"size_bytes":%d`, len(sealed))
				sealed = change(sealed)
				line = bytes.Replace(line, []byte(size), fmt.Appendf(nil, `"size_bytes":%d`, len(sealed)), 1)
				b = append(append(bytes.Clone(line), '\n'), sealed...)
				resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
				resp.Header.Set("Content-Length", strconv.Itoa(len(b)))
				return nil
			},
		})
		defer proxy.Close()
		state, dir := t.TempDir(), t.TempDir()
		c := saver(t, proxy.URL, state, dir, "", nil)
		args := fmt.Sprintf(`{"claim_url":%q,"save_to":%q}`, strings.Replace(sent.ClaimURL, relay.URL, proxy.URL, 1), dir)
		res := c.call(t, "claim", args)
		if told := textOf(t, res); !res.IsError || !strings.Contains(told, "can't be opened") || strings.Contains(told, "s3cr3t") || strings.Contains(told, "first.txt") {
			t.Errorf("%s: %.500s", name, told)
		}
		if left := testkit.FilesIn(t, dir); len(left) > 0 {
			t.Errorf("%s: left: %v", name, left)
		}
		for _, path := range testkit.FilesIn(t, state) {
			if b, _ := os.ReadFile(path); bytes.Contains(b, []byte("s3cr3t")) {
				t.Errorf("%s: %s holds plaintext", name, path)
			}
		}
		clear.Store(true)
		if res := c.call(t, "claim", args); res.IsError {
			t.Errorf("%s: claimed again: %.500s", name, textOf(t, res))
		}
		if b, err := os.ReadFile(filepath.Join(dir, "second.txt")); err != nil || string(b) != text {
			t.Errorf("%s: %d bytes were saved, %v", name, len(b), err)
		}
	}
}
