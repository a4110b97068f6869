package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi"
)

// service answers as the hosted one does: it knows no idempotency keys and does not tell
// the size of a single content. It gives its payload once, and first calls given.
func service(t *testing.T, inspect, claim string, given ...func()) string {
	t.Helper()
	burned := false
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case burned:
			w.WriteHeader(http.StatusGone)
			fmt.Fprint(w, `{"error":"gone","message":"burned"}`)
		case r.Method == http.MethodPost:
			burned = true
			for _, f := range given {
				f()
			}
			fmt.Fprint(w, claim)
		default:
			fmt.Fprint(w, inspect)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

const someTimes = `"metadata":null,"created_at":"2026-03-28T12:00:00.000Z","expires_at":"2036-03-28T13:00:00.000Z"`

// TestUnsizedContent claims single contents from a service that does not tell their size:
// one that is too large to be shown is in a file.
func TestUnsizedContent(t *testing.T) {
	const inspect = `{"status":"active","content_type":"text/plain","max_retrievals":1,"retrieval_count":0,` + someTimes + `}`
	for name, size := range map[string]int{"small": 100, "large": 100_000} {
		t.Run(name, func(t *testing.T) {
			text := strings.Repeat("x\u00e4\"", size/4)
			quoted, _ := json.Marshal(text)
			state := t.TempDir()
			c := saver(t, service(t, inspect, `{"content":`+string(quoted)+`,"content_type":"text/plain","burned":true,`+someTimes+`}`), state, t.TempDir(), "", nil)
			res := c.call(t, "claim", byToken)
			if res.IsError {
				t.Fatalf("%+v", res)
			}
			left := testkit.FilesIn(t, state)
			if name == "small" {
				if got := payloadOf(t, res); got != text || len(left) != 0 {
					t.Errorf("%.300s, left %v", got, left)
				}
				return
			}
			out := manifestOfResult(t, res)
			if len(out.Files) != 1 || len(left) != 1 || out.Files[0].Path != left[0] {
				t.Fatalf("%+v, left %v", out, left)
			}
			if b, err := os.ReadFile(left[0]); err != nil || string(b) != text {
				t.Errorf("kept %.100q, %v", b, err)
			}
			if info, err := os.Stat(left[0]); err != nil || runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%v, %v", info.Mode(), err)
			}
		})
	}
}

// TestUnsavedAnswerIsKept claims from a service that gives its payload once, and whose
// answer has another file name than its inspect, which can't be written.
func TestUnsavedAnswerIsKept(t *testing.T) {
	answer := func(content string) string {
		return `{"type":"kubbi_package","status":"active","file_count":1,"total_size_bytes":6,"max_retrievals":1,"retrieval_count":0,"burned":true,` + someTimes +
			`,"files":[{"name":"%s","content_type":"text/plain","size_bytes":6,"role":null` + content + `}]}`
	}
	state, dir := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "there.txt"), []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, evil := range []string{"there.txt", "../evil", `a\u202eb`} {
		c := saver(t, service(t, fmt.Sprintf(answer(""), "good.txt"), fmt.Sprintf(answer(`,"content":"s3cr3t"`), evil)), state, dir, "", nil)
		res := c.call(t, "claim", fmt.Sprintf(`{"claim_url":%q,"save_to":%q}`, anyToken, dir))
		text := textOf(t, res)
		left := testkit.FilesIn(t, state)
		if !res.IsError || c.outcome != OutcomeUnsaved || len(left) != 1 || !strings.Contains(text, strconv.Quote(left[0])) || strings.Contains(text, "s3cr3t") {
			t.Fatalf("%s: %s, left %v", evil, text, left)
		}
		if b, _ := os.ReadFile(left[0]); !strings.Contains(string(b), "s3cr3t") {
			t.Errorf("%s: the kept answer is %s", evil, b)
		}
		if got := testkit.FilesIn(t, filepath.Dir(dir)); len(got) != len(testkit.FilesIn(t, dir))+len(left) || len(testkit.FilesIn(t, dir)) != 1 {
			t.Errorf("%s: written: %v", evil, got)
		}
		if err := os.Remove(left[0]); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHeldKeySurvives claims, loses the answer, and claims again as another process does.
// Nobody else gets the payload, and the folder tells nothing.
func TestHeldKeySurvives(t *testing.T) {
	sender, relay := newSender(t)
	sent, err := sender.Send(t.Context(), kubbi.SendParams{Content: "s3cr3t", MaxRetrievals: 1})
	if err != nil {
		t.Fatal(err)
	}
	args := fmt.Sprintf(`{"claim_url":%q}`, sent.ClaimURL)
	state := t.TempDir()
	lost := func(_ context.Context, then func(bool)) { then(false) }
	if res := saver(t, relay.URL, state, t.TempDir(), "alice", lost).call(t, "claim", args); res.IsError {
		t.Fatalf("%+v", res)
	}
	held := testkit.FilesIn(t, state)
	if len(held) != 1 {
		t.Fatalf("held: %v", held)
	}
	b, err := os.ReadFile(held[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{sent.ClaimToken, `"key"`, "s3cr3t"} {
		if strings.Contains(held[0]+string(b), secret) {
			t.Errorf("%q is in the folder", secret)
		}
	}
	if res := saver(t, relay.URL, state, t.TempDir(), "bob", nil).call(t, "claim", args); !res.IsError {
		t.Error("another caller has claimed it")
	}
	if res := saver(t, relay.URL, t.TempDir(), t.TempDir(), "alice", nil).call(t, "claim", args); !res.IsError {
		t.Error("claimed without the key")
	}
	if res := saver(t, relay.URL, state, t.TempDir(), "alice", nil).call(t, "claim", args); res.IsError {
		t.Errorf("claimed again: %+v", res)
	}
	if k, err := sender.Get(t.Context(), sent.ID); err != nil || k.RetrievalCount != 1 {
		t.Errorf("%+v, %v", k, err)
	}
}

// TestUnsavedIsClaimedAgain claims a sealed file, whose name is not known before, into a
// folder with a file of that name. That file stays. When it is gone, the same claim, made
// again, saves the payload.
func TestUnsavedIsClaimedAgain(t *testing.T) {
	sender, relay := newSender(t)
	sent, err := sender.SendFiles(t.Context(), kubbi.SendFilesParams{
		Files:         []kubbi.File{{Name: "first.txt", Content: "1", ContentType: "text/plain"}, {Name: "report.txt", Content: "s3cr3t", ContentType: "text/plain"}},
		MaxRetrievals: 1, Sealed: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	state, dir := t.TempDir(), t.TempDir()
	there := filepath.Join(dir, "report.txt")
	if err := os.WriteFile(there, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := fmt.Sprintf(`{"claim_url":%q,"save_to":%q}`, sent.ClaimURL, dir)
	for range 2 {
		c := saver(t, relay.URL, state, dir, "", nil)
		res := c.call(t, "claim", args)
		text := textOf(t, res)
		if !res.IsError || c.outcome != OutcomeUnsaved || !strings.Contains(text, "claim again with the same claim_url") || strings.Contains(text, "s3cr3t") {
			t.Fatalf("%s", text)
		}
		if b, err := os.ReadFile(there); err != nil || string(b) != "kept" || len(testkit.FilesIn(t, dir)) != 1 {
			t.Fatalf("in the folder: %v, %s, %v", testkit.FilesIn(t, dir), b, err)
		}
	}
	if err := os.Remove(there); err != nil {
		t.Fatal(err)
	}
	res := saver(t, relay.URL, state, dir, "", nil).call(t, "claim", args)
	if res.IsError || len(testkit.FilesIn(t, dir)) != 2 || len(testkit.FilesIn(t, state)) != 0 {
		t.Fatalf("%+v, %v, left %v", res, testkit.FilesIn(t, dir), testkit.FilesIn(t, state))
	}
	if b, err := os.ReadFile(there); err != nil || string(b) != "s3cr3t" {
		t.Errorf("saved %q, %v", b, err)
	}
	if k, err := sender.Get(t.Context(), sent.ID); err != nil || k.RetrievalCount != 1 {
		t.Errorf("%+v, %v", k, err)
	}
}
