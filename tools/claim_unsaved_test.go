package tools

import (
	"fmt"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi"
)

// TestUnsavedAnswerInMemory claims from a service that gives its payload once, while neither
// the folder nor the data directory can be written: the payload is in memory, and the same
// claim, made again, saves it.
func TestUnsavedAnswerInMemory(t *testing.T) {
	state, dir := t.TempDir(), t.TempDir()
	const head = `{"type":"kubbi_package","status":"active","file_count":1,"total_size_bytes":6,"max_retrievals":1,"retrieval_count":0,"burned":true,` + someTimes +
		`,"files":[{"name":"a.txt","content_type":"text/plain","size_bytes":6,"role":null`
	received := filepath.Join(state, "received")
	there := filepath.Join(dir, "a.txt")
	spoil := func() {
		for path, err := range map[string]error{there: nil, received: os.RemoveAll(received)} {
			if err == nil {
				err = os.WriteFile(path, nil, 0o600)
			}
			if err != nil {
				t.Error(err)
			}
		}
	}
	c := saver(t, service(t, head+`}]}`, head+`,"content":"s3cr3t"}]}`, spoil), state, dir, "", nil)
	args := fmt.Sprintf(`{"claim_url":%q,"save_to":%q}`, anyToken, dir)
	if res := c.call(t, "claim", args); !res.IsError || !strings.Contains(textOf(t, res), "can be had for 60 seconds") {
		t.Fatalf("%s", textOf(t, res))
	}
	for _, path := range testkit.FilesIn(t, state) {
		if b, _ := os.ReadFile(path); strings.Contains(string(b), "s3cr3t") {
			t.Errorf("%s holds the payload", path)
		}
	}
	if err := os.Remove(there); err != nil {
		t.Fatal(err)
	}
	if res := c.call(t, "claim", args); res.IsError {
		t.Fatalf("claimed again: %s", textOf(t, res))
	}
	if b, err := os.ReadFile(there); err != nil || string(b) != "s3cr3t" {
		t.Errorf("saved %q, %v", b, err)
	}
}

// TestSealedNamesOfAHostedService claims a sealed package with a guarded name from a service
// that gives it once: nothing is written in the clear, and the payload can be saved in a
// folder of the server's own.
func TestSealedNamesOfAHostedService(t *testing.T) {
	sender, relay := newSender(t)
	sent, err := sender.SendFiles(t.Context(), kubbi.SendFilesParams{
		Files:         []kubbi.File{{Name: "a.txt", Content: "s3cr3t", ContentType: "text/plain"}, {Name: "CLAUDE.md", Content: "s3cr3t too", ContentType: "text/markdown"}},
		MaxRetrievals: 1, Sealed: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	origin, err := url.Parse(relay.URL)
	if err != nil {
		t.Fatal(err)
	}
	hosted := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(origin)
		r.Out.Header.Del("Idempotency-Key") // the hosted service does not know it
	}})
	t.Cleanup(hosted.Close)
	state, dir := t.TempDir(), t.TempDir()
	c := saver(t, hosted.URL, state, dir, "", nil)
	claim := func(to string) *mcp.CallToolResult {
		return c.call(t, "claim", fmt.Sprintf(`{"claim_url":%q,"save_to":%q}`, strings.Replace(sent.ClaimURL, relay.URL, hosted.URL, 1), to))
	}
	res := claim(dir)
	if text := textOf(t, res); !res.IsError || c.outcome != OutcomeUnsaved || !strings.Contains(text, `"received"`) || !strings.Contains(text, "60 seconds") {
		t.Fatalf("%s", text)
	}
	for _, path := range append(testkit.FilesIn(t, dir), testkit.FilesIn(t, state)...) {
		if b, _ := os.ReadFile(path); strings.Contains(string(b), "s3cr3t") || filepath.Dir(path) == dir {
			t.Errorf("%s was written", path)
		}
	}
	if k, err := sender.Get(t.Context(), sent.ID); err != nil || k.Status != "burned" {
		t.Fatalf("%+v, %v", k, err)
	}
	out := manifestOfResult(t, claim(saveReceived))
	if len(out.Files) != 2 {
		t.Fatalf("%+v", out)
	}
	for _, f := range out.Files {
		if b, err := os.ReadFile(f.Path); err != nil || !strings.HasPrefix(string(b), "s3cr3t") {
			t.Errorf("%s holds %q, %v", f.Path, b, err)
		}
	}
}
