package stdio

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
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/relay/relaytest"
)

// nameTable reads the names with which internal/filename tests its rule.
func nameTable(t *testing.T) (good, bad []string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "internal", "filename", "testdata", "names.json"))
	if err != nil {
		t.Fatal(err)
	}
	var table struct {
		Good []string
		Bad  []struct{ Name, Instead string }
	}
	if err := json.Unmarshal(b, &table); err != nil || len(table.Good) == 0 {
		t.Fatal(err)
	}
	for _, b := range table.Bad {
		bad = append(bad, b.Name)
	}
	return table.Good, bad
}

// TestNamesArrive sends files with names of every script, by their own paths and by
// their folder's, and saves them under the same names.
func TestNamesArrive(t *testing.T) {
	good, _ := nameTable(t)
	top := t.TempDir()
	s := start(t, "", "--data-dir", filepath.Join(top, "data"), "--relay-url", testkit.FreeURL(t), "--allow-dir", top)
	for i, names := range slices.Collect(slices.Chunk(good, 15)) {
		from, into := filepath.Join(top, fmt.Sprint("from", i)), filepath.Join(top, fmt.Sprint("into", i))
		if err := os.Mkdir(from, 0o700); err != nil {
			t.Fatal(err)
		}
		var args []map[string]any
		there := map[string]bool{}
		for _, name := range names {
			if norm := norm.NFC.String(name); there[norm] && runtime.GOOS == "darwin" {
				continue // it is the same file there
			} else {
				there[norm] = true
			}
			testkit.FileOfItsName(t, filepath.Join(from, name))
			args = append(args, map[string]any{"path": filepath.Join(from, name)})
		}
		byPath := s.call(t, "send_files", map[string]any{"files": args, "max_retrievals": 1})
		byFolder := s.call(t, "send_files", map[string]any{"files": []map[string]any{{"path": from}}, "max_retrievals": 1})
		for how, r := range map[string]toolResult{"path": byPath, "folder": byFolder} {
			twins := len(r.StructuredContent.Notes) > 0
			if r.IsError {
				// Both Unicode forms of one name can't be in one package.
				if how == "path" && strings.Contains(r.text(), "same name") {
					continue
				}
				t.Fatalf("by %s: %s", how, r.text())
			}
			got := s.call(t, "claim", map[string]any{"claim_url": r.StructuredContent.ClaimURL, "save_to": into + how})
			if got.IsError {
				t.Fatalf("by %s: %s", how, got.text())
			}
			for _, f := range r.StructuredContent.Files {
				b, err := os.ReadFile(filepath.Join(into+how, f.Name))
				if err != nil || string(b) != filepath.Base(f.Path) || !twins && f.Name != filepath.Base(f.Path) {
					t.Errorf("by %s: %q went as %q: %q, %v", how, f.Path, f.Name, b, err)
				}
			}
		}
	}
}

// TestNamesRefused sends names that some systems can't save, sealed or not. They are
// refused with a name that would do; a file of a folder gets that name.
func TestNamesRefused(t *testing.T) {
	_, bad := nameTable(t)
	top := t.TempDir()
	s := start(t, "", "--data-dir", filepath.Join(top, "data"), "--relay-url", testkit.FreeURL(t), "--allow-dir", top)
	for i, name := range bad {
		r := s.call(t, "send_files", map[string]any{"files": []map[string]any{{"name": name, "content": "x"}}, "sealed": i%2 == 0})
		m := regexp.MustCompile(`send it as "([^"]+)"`).FindStringSubmatch(r.text())
		if !r.IsError || m == nil {
			t.Errorf("%q: %s", name, r.text())
			continue
		}
		if r = s.call(t, "send_files", map[string]any{"files": []map[string]any{{"name": m[1], "content": "x"}}}); r.IsError {
			t.Errorf("%q would do for %q: %s", m[1], name, r.text())
		}
	}
	src := filepath.Join(top, "src")
	if err := os.MkdirAll(src, 0o700); err != nil {
		t.Fatal(err)
	}
	names := map[string]string{"main.c": "main.c", "read me.md": "read me.md"}
	if runtime.GOOS != "windows" { // none of these can be there
		for own, as := range map[string]string{"aux.c": "aux_.c", "what?.md": "what_.md", "a:b.txt": "a_b.txt", "end.": "end", "tab\there.txt": "tab_here.txt", "turn\u202egpj.exe": "turngpj.exe"} {
			names[own] = as
		}
	}
	for own := range names {
		testkit.FileOfItsName(t, filepath.Join(src, own))
	}
	r := s.call(t, "send_files", map[string]any{"files": []map[string]any{{"path": src}}, "max_retrievals": 1})
	if r.IsError {
		t.Fatal(r.text())
	}
	changed := 0
	for _, f := range r.StructuredContent.Files {
		own := filepath.Base(f.Path)
		if names[own] != f.Name {
			t.Errorf("%q went as %q, want %q", own, f.Name, names[own])
		}
		if own != f.Name {
			changed++
		}
		delete(names, own)
	}
	if len(names) > 0 || len(r.StructuredContent.Notes) != changed {
		t.Errorf("not sent: %q; %d changed, told of %q", names, changed, r.StructuredContent.Notes)
	}
	if got := s.call(t, "claim", map[string]any{"claim_url": r.StructuredContent.ClaimURL, "save_to": filepath.Join(top, "in")}); got.IsError {
		t.Error(got.text())
	}
}

// TestNamesThatOthersSend saves files whose names Windows can't have, and which the
// hosted service accepts, under similar names.
func TestNamesThatOthersSend(t *testing.T) {
	hosted := hostedService(t)
	body := `{"files":[{"name":"aux.h","content":"1","content_type":"text/plain"},{"name":"aux_.h","content":"2","content_type":"text/plain"},{"name":"notes.","content":"3","content_type":"text/plain"}],"ttl_seconds":600,"max_retrievals":1}`
	// Our relay refuses such names, so that the sender sees the error.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, hosted.relay.URL+"/api/v1/kubbis", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+hosted.relay.APIKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(said), `aux_.h`) {
		t.Errorf("%s, %v: %s", resp.Status, err, said)
	}
	answer := `{"type":"kubbi_package","status":"active","kubbi_id":"6f1f6f0e-3c1b-4d6f-9d5e-0c6b1c2d3e4f","file_count":3,"total_size_bytes":3,"max_retrievals":1,"retrieval_count":0,"remaining_reads":1,"metadata":null,` +
		`"created_at":"2026-03-28T12:00:00.000Z","expires_at":"2036-03-28T12:00:00.000Z","files":[` +
		`{"name":"aux.h","content_type":"text/plain","size_bytes":1,"role":null,"content":"1"},{"name":"aux_.h","content_type":"text/plain","size_bytes":1,"role":null,"content":"2"},{"name":"notes.","content_type":"text/plain","size_bytes":1,"role":null,"content":"3"}]}`
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	}))
	defer other.Close()
	top := t.TempDir()
	s := start(t, "", "--data-dir", filepath.Join(top, "data"), "--relay-url", testkit.FreeURL(t), "--allow-dir", top, "--allow-origin", other.URL)
	got := s.call(t, "claim", map[string]any{"claim_url": other.URL + "/r/Zm9yLXRlc3RzLW9ubHktbm90LWEtc2VjcmV0LTEyMzQ", "save_to": filepath.Join(top, "in")})
	if got.IsError {
		t.Fatal(got.text())
	}
	for name, want := range map[string]string{"aux__.h": "1", "aux_.h": "2", "notes": "3"} {
		if b, err := os.ReadFile(filepath.Join(top, "in", name)); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
}

// hosted stands for the hosted service: a relay behind a proxy that refuses names which
// the hosted service refuses, and removes what only our relay says.
type hosted struct {
	*httptest.Server
	relay *relaytest.Server
}

func hostedService(t *testing.T) *hosted {
	t.Helper()
	relay := relaytest.New(t)
	origin, err := url.Parse(relay.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(origin)
	proxy.ModifyResponse = func(r *http.Response) error {
		for name := range r.Header {
			if strings.HasPrefix(name, "Kubbi-") {
				r.Header.Del(name)
			}
		}
		return nil
	}
	ascii := regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,254}$`)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Path == "/api/v1/kubbis" {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			var body struct{ Files []struct{ Name string } }
			_ = json.Unmarshal(b, &body)
			for i, f := range body.Files {
				if !ascii.MatchString(f.Name) || strings.Contains(f.Name, "..") {
					w.Header().Set("Content-Type", "application/json")
					w.WriteHeader(http.StatusBadRequest)
					fmt.Fprintf(w, `{"error":"validation_error","message":"bad name","messages":["files[%d].name is invalid"]}`, i)
					return
				}
			}
			r.Body = io.NopCloser(bytes.NewReader(b))
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return &hosted{srv, relay}
}

// TestNamesAtTheHostedService sends to a service that takes ASCII names only. It gets
// ASCII names, by path and as content, sealed or not, and the sender is told.
func TestNamesAtTheHostedService(t *testing.T) {
	h := hostedService(t)
	top := t.TempDir()
	s := start(t, "", "--data-dir", filepath.Join(top, "data"), "--relay-url", testkit.FreeURL(t), "--allow-dir", top, "--base-url", h.URL, "--api-key", h.relay.APIKey, "--allow-origin", h.relay.URL)
	names := []string{"一.txt", "二.txt", "отчёт.csv", "résumé.md", "plain.txt", "My report (v1).json"}
	var byPath, byContent []map[string]any
	for _, name := range names {
		path := filepath.Join(top, name)
		if err := os.WriteFile(path, []byte(`"`+name+`"`), 0o600); err != nil {
			t.Fatal(err)
		}
		byPath, byContent = append(byPath, map[string]any{"path": path}), append(byContent, map[string]any{"name": name, "content": `"` + name + `"`})
	}
	for how, files := range map[string][]map[string]any{"path": byPath, "content": byContent} {
		r := s.call(t, "send_files", map[string]any{"files": files})
		if r.IsError {
			t.Fatalf("by %s: %s", how, r.text())
		}
		if len(r.StructuredContent.Notes) != 5 {
			t.Errorf("by %s: %q", how, r.StructuredContent.Notes)
		}
		into := filepath.Join(top, how)
		if got := s.call(t, "claim", map[string]any{"claim_url": r.StructuredContent.ClaimURL, "save_to": into}); got.IsError {
			t.Fatal(got.text())
		}
		for i, as := range []string{"file-70b817.txt", "file-c115e1.txt", "file-64eed4.csv", "resume.md", "plain.txt", "My_report_v1.json"} {
			if b, err := os.ReadFile(filepath.Join(into, as)); err != nil || string(b) != `"`+names[i]+`"` {
				t.Errorf("by %s: %s: %q, %v", how, as, b, err)
			}
			if as != names[i] && !strings.Contains(strings.Join(r.StructuredContent.Notes, "\n"), fmt.Sprintf("%q was sent as %q", names[i], as)) {
				t.Errorf("by %s: nothing is told of %s: %q", how, as, r.StructuredContent.Notes)
			}
		}
	}
	path := testkit.Program(t)
	cmd := exec.CommandContext(t.Context(), path, "send", "--json", "--data-dir", filepath.Join(top, "data"), "--base-url", h.URL, "--api-key", h.relay.APIKey, filepath.Join(top, "отчёт.csv"), filepath.Join(top, "plain.txt"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), "claim_url") || !strings.Contains(stderr.String(), "отчёт.csv is sent as file-64eed4.csv") || strings.Contains(stderr.String(), "plain.txt") {
		t.Errorf("from the shell: %v\n%s\n%s", err, out, stderr.String())
	}
	r := s.call(t, "send_files", map[string]any{"files": byPath, "sealed": true})
	if r.IsError || len(r.StructuredContent.Notes) > 0 {
		t.Fatalf("sealed: %+v", r)
	}
	into := filepath.Join(top, "sealed")
	if got := s.call(t, "claim", map[string]any{"claim_url": r.StructuredContent.ClaimURL, "save_to": into}); got.IsError {
		t.Fatal(got.text())
	}
	for _, name := range names {
		if b, err := os.ReadFile(filepath.Join(into, name)); err != nil || string(b) != `"`+name+`"` {
			t.Errorf("sealed: %s: %q, %v", name, b, err)
		}
	}
}

// TestJSONThatIsNotStrict sends files called .json that are not valid JSON. They are
// sent with another type and arrive unchanged.
func TestJSONThatIsNotStrict(t *testing.T) {
	top := t.TempDir()
	s := start(t, "", "--data-dir", filepath.Join(top, "data"), "--relay-url", testkit.FreeURL(t), "--allow-dir", top)
	for name, tt := range map[string]struct{ content, single, file string }{
		"strict.json":   {"{\"a\": 1}\n", "application/json", "application/json"},
		"large.json":    {`{"a":9007199254740993,"b":1e400,"c":-0}`, "application/json", "application/json"},
		"tsconfig.json": {"{\n  // see the handbook\n  \"strict\": true,\n}\n", "text/plain", "text/plain"},
		"bom.json":      {"\ufeff{\"a\":1}\r\n", "text/plain", "text/plain"},
		"log.json":      {"{\"a\":1}\n{\"a\":2}\n", "text/plain", "text/plain"},
		"empty.json":    {"", "text/plain", "text/plain"},
		"loss.json":     {`{"loss": NaN}`, "text/plain", "text/plain"},
		"half.json":     {`{"a":"\ud800"}`, "text/plain", "text/plain"},
		"utf16.json":    {"\xff\xfe{\x00}\x00", "", "application/octet-stream"},
		"配置.json":       {"{} // 空", "text/plain", "text/plain"},
	} {
		path := filepath.Join(top, name)
		if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
			t.Fatal(err)
		}
		strict := tt.file == "application/json"
		r := s.call(t, "send", map[string]any{"path": path})
		if r.IsError != (tt.single == "") || !r.IsError && (r.StructuredContent.ContentType != tt.single || (len(r.StructuredContent.Notes) == 0) != strict) {
			t.Errorf("send %s: %s", name, r.text())
		}
		if r.IsError && !strings.Contains(r.text(), "send_files") {
			t.Errorf("send %s: %s", name, r.text())
		}
		files := s.call(t, "send_files", map[string]any{"files": []map[string]any{{"path": path}}})
		if files.IsError || files.StructuredContent.Files[0].ContentType != tt.file || (len(files.StructuredContent.Notes) == 0) != strict {
			t.Errorf("send_files %s: %s", name, files.text())
			continue
		}
		into := filepath.Join(top, "into "+name)
		if got := s.call(t, "claim", map[string]any{"claim_url": files.StructuredContent.ClaimURL, "save_to": into}); got.IsError {
			t.Errorf("%s: %s", name, got.text())
		}
		if b, err := os.ReadFile(filepath.Join(into, name)); err != nil || string(b) != tt.content {
			t.Errorf("%s: %q, %v", name, b, err)
		}
		if asked := s.call(t, "send", map[string]any{"path": path, "content_type": "application/json"}); asked.IsError == strict || !strict && tt.single != "" && !strings.Contains(asked.text(), "leave content_type out") {
			t.Errorf("%s as JSON: %s", name, asked.text())
		}
	}
}

// TestAllowedFolders gives --allow-dir as hosts and people write it. A folder that does
// not exist is left out.
func TestAllowedFolders(t *testing.T) {
	top := t.TempDir()
	home := filepath.Join(top, "home")
	for _, dir := range []string{"home/docs", "first", "second place", "third"} {
		dir = filepath.Join(top, dir)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		testkit.FileOfItsName(t, filepath.Join(dir, "a.txt"))
	}
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	slashes := filepath.ToSlash(top)
	if !strings.HasPrefix(slashes, "/") {
		slashes = "/" + slashes // C:/...
	}
	missing := filepath.Join(top, "not plugged in")
	dirs := strings.Join([]string{filepath.Join(top, "first"), "file://" + slashes + "/second%20place", "~/docs ", missing, "", "${workspaceFolder}"}, ", ")
	s := start(t, "", "--data-dir", filepath.Join(top, "data"), "--relay-url", testkit.FreeURL(t), "--allow-dir", dirs, "--allow-dir", " "+filepath.Join(top, "third"))
	for _, dir := range []string{"home/docs", "first", "second place", "third"} {
		if r := s.call(t, "send", map[string]any{"path": filepath.Join(top, dir, "a.txt")}); r.IsError {
			t.Errorf("%s: %s", dir, r.text())
		}
	}
	if r := s.call(t, "send", map[string]any{"path": filepath.Join(missing, "a.txt")}); !r.IsError || !strings.Contains(r.text(), "which was not there when kubbi-mcp started") {
		t.Errorf("%s", r.text())
	}
	if log := s.log.String(); strings.Count(log, "left out") != 1 || !strings.Contains(log, "not plugged in") || strings.Contains(log, "workspaceFolder") {
		t.Errorf("log: %s", log)
	}
}

// TestPathsThatLookAlike sends files by paths as a model writes them.
func TestPathsThatLookAlike(t *testing.T) {
	top := t.TempDir()
	s := start(t, "", "--data-dir", filepath.Join(top, "data"), "--relay-url", testkit.FreeURL(t), "--allow-dir", top)
	const shot = "Screenshot 2026-01-01 at 10.00.00\u202fAM.txt"
	for _, name := range []string{shot, "re\u0301sume\u0301.txt", "two\u00a0faced.txt", "two\u2003faced.txt"} {
		testkit.FileOfItsName(t, filepath.Join(top, name))
	}
	if runtime.GOOS != "windows" {
		testkit.FileOfItsName(t, filepath.Join(top, "aux.txt"))
	}
	for given, want := range map[string]string{
		"Screenshot 2026-01-01 at 10.00.00 AM.txt": shot, "Screenshot*AM.txt": shot, "r\u00e9sum\u00e9.txt": "re\u0301sume\u0301.txt", "two\u2003faced.txt": "two\u2003faced.txt",
	} {
		for _, path := range []string{given, filepath.Join(top, given)} {
			r := s.call(t, "send_files", map[string]any{"files": []map[string]any{{"path": path}}})
			if r.IsError || len(r.StructuredContent.Files) != 1 || norm.NFC.String(r.StructuredContent.Files[0].Name) != norm.NFC.String(want) {
				t.Errorf("%+q: %s", path, r.text())
			}
			if strings.Contains(path, "*") {
				continue
			}
			if r := s.call(t, "send", map[string]any{"path": path}); r.IsError {
				t.Errorf("%+q: %s", path, r.text())
			}
		}
	}
	if r := s.call(t, "send", map[string]any{"path": "two faced.txt"}); !r.IsError || !strings.Contains(r.text(), `two\u00a0faced.txt`) || !strings.Contains(r.text(), `two\u2003faced.txt`) {
		t.Errorf("two that look the same: %s", r.text())
	}
	if runtime.GOOS != "windows" {
		r := s.call(t, "send_files", map[string]any{"files": []map[string]any{{"path": "aux.txt"}}})
		if r.IsError || r.StructuredContent.Files[0].Name != "aux_.txt" || len(r.StructuredContent.Notes) != 1 {
			t.Errorf("aux.txt: %s", r.text())
		}
	}
}
