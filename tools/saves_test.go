package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/tools/files"
)

// staged is a batch that has written a file and not named it.
func staged(t *testing.T, dir string) *files.Batch {
	t.Helper()
	b, err := files.Into(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	if err := b.Stage(context.Background(), "a.txt", strings.NewReader("s3cr3t")); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSweepSaves has a process start while another one saves, after a third one has
// died while it saved into the same folder: the half file of the dead one is
// removed, and what the other one writes is not touched.
func TestSweepSaves(t *testing.T) {
	dir, top := t.TempDir(), t.TempDir()
	live, dead := staged(t, dir), staged(t, dir)
	ended, err := NewState(top).saving(live)
	if err != nil {
		t.Fatal(err)
	}
	record, err := json.Marshal(saveRecord{Folder: dir, ID: dead.ID()})
	if err != nil {
		t.Fatal(err)
	}
	gone, err := json.Marshal(saveRecord{Folder: filepath.Join(dir, "gone"), ID: "ABCDEFGHABCDEFGH"})
	if err != nil {
		t.Fatal(err)
	}
	unplugged, err := json.Marshal(saveRecord{Folder: filepath.Join(dir, "drive", "folder"), ID: "BBCDEFGHABCDEFGH"})
	if err != nil {
		t.Fatal(err)
	}
	saves := filepath.Join(top, savesName)
	for name, text := range map[string]string{
		dead.ID(): string(record), "ABCDEFGHABCDEFGH": string(gone), "BBCDEFGHABCDEFGH": string(unplugged), "CBCDEFGHABCDEFGH": "", "DBCDEFGHABCDEFGH": string(record),
	} {
		if err := os.WriteFile(filepath.Join(saves, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// A user's own files stay, whatever they are called.
	own := filepath.Join(dir, ".kubbi-"+dead.ID()+".tmp")
	if err := os.WriteFile(own, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	half := func(id string) string { // as where no file can be without a name
		path := filepath.Join(dir, ".kubbi-"+id+"ABCDEFGHIJ.tmp")
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ofLive, ofDead := half(live.ID()), half(dead.ID())
	NewState(top).Sweep()
	got := strings.Join(namesIn(t, dir), " ")
	if !strings.Contains(got, filepath.Base(own)) || !strings.Contains(got, filepath.Base(ofLive)) || strings.Contains(got, filepath.Base(ofDead)) {
		t.Errorf("in the folder: %v; live %s, dead %s", got, live.ID(), dead.ID())
	}
	if got := namesIn(t, saves); len(got) != 2 { // the live one, and that on a drive
		t.Errorf("records: %v", got)
	}
	if saved, err := live.Commit(); err != nil || len(saved) != 1 {
		t.Errorf("%v, %v", saved, err)
	}
	ended()
	if _, err := os.Stat(filepath.Join(saves, live.ID())); err == nil {
		t.Error("the record of a save that has ended is left")
	}
	empty := t.TempDir()
	if NewState(empty).Sweep(); len(namesIn(t, empty)) != 0 {
		t.Error("a sweep makes files")
	}
}

// TestSpoolOnDisk looks at the disk while an answer is received: nothing in the
// data directory can be read, and what an older version left is gone.
func TestSpoolOnDisk(t *testing.T) {
	top := t.TempDir()
	old := filepath.Join(top, spoolName, "claim-1.json")
	if err := os.Mkdir(filepath.Dir(old), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(old, []byte("s3cr3t"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := NewState(top).spool()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Write([]byte(strings.Repeat("s3cr3t", 200_000))); err != nil {
		t.Fatal(err)
	}
	for _, path := range namesIn(t, top) { // on Windows there is one
		if b, err := os.ReadFile(path); err != nil || strings.Contains(string(b), "s3cr3t") || path == old {
			t.Errorf("%s can be read, %v", path, err)
		}
	}
}

// TestUnsavedAnswerInMemory has a service give its payload once, and neither the
// folder nor the data directory can be written then: the payload is in memory, and
// the same claim made again saves it.
func TestUnsavedAnswerInMemory(t *testing.T) {
	state, dir := t.TempDir(), t.TempDir()
	const head = `{"type":"kubbi_package","status":"active","file_count":1,"total_size_bytes":6,"max_retrievals":1,"retrieval_count":0,"burned":true,` + someTimes +
		`,"files":[{"name":"a.txt","content_type":"text/plain","size_bytes":6,"role":null`
	received := filepath.Join(state, receivedName)
	there := filepath.Join(dir, "a.txt")
	given := false
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case given:
			w.WriteHeader(http.StatusGone)
			fmt.Fprint(w, `{"error":"gone","message":"burned"}`)
		case r.Method == http.MethodPost:
			given = true
			for path, err := range map[string]error{there: nil, received: os.RemoveAll(received)} {
				if err == nil {
					err = os.WriteFile(path, nil, 0o600)
				}
				if err != nil {
					t.Error(err)
				}
			}
			fmt.Fprint(w, head+`,"content":"s3cr3t"}]}`)
		default:
			fmt.Fprint(w, head+`}]}`)
		}
	}))
	t.Cleanup(srv.Close)
	c := saver(t, srv.URL, state, dir, "", nil)
	args := fmt.Sprintf(`{"claim_url":%q,"save_to":%q}`, anyToken, dir)
	if res := c.call(t, "claim", args); !res.IsError || !strings.Contains(textOf(t, res), "can be had for 60 seconds") {
		t.Fatalf("%s", textOf(t, res))
	}
	for _, path := range namesIn(t, state) {
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

// TestSealedNamesOfAHostedService claims a sealed package with a name that is not
// written, of a service that gives it once: nothing is written in the clear, and the
// payload can be had in a folder of the server's own.
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
	for _, path := range append(namesIn(t, dir), namesIn(t, state)...) {
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
