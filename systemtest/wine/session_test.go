package wine

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
)

// session is a server under Wine and its MCP host.
type session struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *os.File
	lines  *bufio.Reader
	stderr *testkit.Log
	id     int
}

// serve starts a server and initializes the session.
func (w *wine) serve(t *testing.T, args ...string) *session {
	t.Helper()
	s := &session{cmd: w.run(t, w.exe, append([]string{"serve"}, args...)...), stderr: &testkit.Log{}}
	s.cmd.Stderr = s.stderr
	var err error
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, stdout, err := os.Pipe() // and not StdoutPipe, which Wait closes
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Stdout = stdout
	s.stdout, s.lines = out, bufio.NewReader(out)
	t.Cleanup(func() { out.Close() })
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stdout.Close()
	s.request(t, "initialize", map[string]any{
		"protocolVersion": "2025-06-18", "capabilities": map[string]any{}, "clientInfo": map[string]any{"name": "wine", "version": "1"},
	})
	s.write(t, map[string]any{"jsonrpc": "2.0", "method": "notifications/initialized"})
	return s
}

// write writes a line that ends as Windows programs often end it.
func (s *session) write(t *testing.T, message map[string]any) {
	t.Helper()
	line, err := json.Marshal(message)
	if err == nil {
		_, err = s.stdin.Write(append(line, "\r\n"...))
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, s.stderr)
	}
}

func (s *session) request(t *testing.T, method string, params any) json.RawMessage {
	t.Helper()
	s.id++
	s.write(t, map[string]any{"jsonrpc": "2.0", "id": s.id, "method": method, "params": params})
	for {
		line, err := s.lines.ReadBytes('\n')
		if err != nil {
			t.Fatalf("%s: %v\n%s", method, err, s.stderr)
		}
		if bytes.HasSuffix(line, []byte("\r\n")) {
			t.Errorf("%s: the answer ends in CR LF", method)
		}
		var answer struct {
			ID            int
			Result, Error json.RawMessage
		}
		if err := json.Unmarshal(line, &answer); err != nil {
			t.Fatalf("%s: %v: %s", method, err, line)
		}
		if answer.ID != s.id {
			continue // a notification
		}
		if answer.Error != nil {
			t.Fatalf("%s: %s", method, answer.Error)
		}
		return answer.Result
	}
}

// answer is a tool's result: all its text, and whether it is an error.
type answer struct {
	text     string
	failed   bool
	claimURL string
}

func (s *session) call(t *testing.T, tool string, arguments map[string]any) answer {
	t.Helper()
	var result struct {
		Content           []struct{ Text string }
		IsError           bool
		StructuredContent struct {
			ClaimURL string `json:"claim_url"`
		}
	}
	raw := s.request(t, "tools/call", map[string]any{"name": tool, "arguments": arguments})
	if err := json.Unmarshal(raw, &result); err != nil {
		t.Fatalf("%s: %v: %s", tool, err, raw)
	}
	a := answer{failed: result.IsError, claimURL: result.StructuredContent.ClaimURL}
	for _, c := range result.Content {
		a.text += c.Text + "\n"
	}
	return a
}

// good makes a call that must succeed.
func (s *session) good(t *testing.T, tool string, arguments map[string]any) answer {
	t.Helper()
	a := s.call(t, tool, arguments)
	if a.failed {
		t.Fatalf("%s %v: %s", tool, arguments, a.text)
	}
	return a
}

// refused makes a call that must fail.
func (s *session) refused(t *testing.T, tool string, arguments map[string]any, why string) {
	t.Helper()
	if a := s.call(t, tool, arguments); !a.failed || !strings.Contains(a.text, why) {
		t.Errorf("%s %v: want %q, got %s", tool, arguments, why, a.text)
	}
}

// end closes stdin, as a host does. The process must exit with 0.
func (s *session) end(t *testing.T) {
	t.Helper()
	s.stdin.Close()
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, s.stderr)
	}
}

// stdio uses two hosts with a server each, which share a data directory with a space
// and non-ASCII letters in its name. Files are sent and saved by path, and forbidden
// paths are refused.
func (w *wine) stdio(t *testing.T) {
	data, url, folder := `C:\Jörg Müller\kubbi data`, testkit.FreeURL(t), `C:\work\čaj`
	if err := os.MkdirAll(filepath.Join(w.path(folder), "logs"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"notes.txt": "two\r\nlines", "logs/a.log": "a", "logs/b.log": "b", ".env": "KEY=1"} {
		if err := os.WriteFile(filepath.Join(w.path(folder), name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a := w.serve(t, "--data-dir", data, "--relay-url", url, "--allow-dir", folder)
	b := w.serve(t, "--data-dir", data, "--relay-url", url, "--allow-dir", folder)
	var list struct{ Tools []struct{ Name string } }
	if err := json.Unmarshal(a.request(t, "tools/list", map[string]any{}), &list); err != nil || len(list.Tools) != 8 {
		t.Errorf("%d tools, %v", len(list.Tools), err)
	}

	sent := a.good(t, "send", map[string]any{"content": "secret words", "max_retrievals": 1})
	b.good(t, "inspect", map[string]any{"claim_url": sent.claimURL})
	if got := b.good(t, "claim", map[string]any{"claim_url": sent.claimURL}); !strings.Contains(got.text, "secret words") {
		t.Errorf("claimed %s", got.text)
	}
	a.refused(t, "claim", map[string]any{"claim_url": sent.claimURL}, "burned")

	// The forms of paths that a host on Windows may use.
	slashes := filepath.ToSlash(strings.ReplaceAll(folder, `\`, "/"))
	for _, path := range []string{folder + `\notes.txt`, slashes + "/notes.txt", "notes.txt", "NOTES.TXT", `.\notes.txt`, "/c" + slashes[2:] + "/notes.txt"} {
		a.good(t, "send", map[string]any{"path": path})
	}
	// The other server claims into folders that do not exist yet.
	for i, file := range []map[string]any{{"path": folder + `\notes.txt`}, {"path": `logs\*.log`}, {"path": "logs"}} {
		sent := a.good(t, "send_files", map[string]any{"files": []any{file}, "max_retrievals": 1})
		to := fmt.Sprintf(`%s\got %d`, folder, i)
		b.good(t, "claim", map[string]any{"claim_url": sent.claimURL, "save_to": to})
		want := map[string]string{"a.log": "a", "b.log": "b"}
		if i == 0 {
			want = map[string]string{"notes.txt": "two\r\nlines"}
		}
		holds(t, w.path(to), want)
	}
	// A file that exists is not overwritten by default.
	sent = a.good(t, "send_files", map[string]any{"files": []any{map[string]any{"name": "notes.txt", "content": "new"}}, "max_retrievals": 1})
	b.refused(t, "claim", map[string]any{"claim_url": sent.claimURL, "save_to": folder + `\got 0`}, "overwrite")
	b.good(t, "claim", map[string]any{"claim_url": sent.claimURL, "save_to": folder + `\got 0`, "overwrite": true})
	holds(t, w.path(folder+`\got 0`), map[string]string{"notes.txt": "new"})

	for path, why := range map[string]string{
		"CON": "device", `logs\nul.txt`: "device", `C:\windows\win.ini`: "outside", `..\..\windows\win.ini`: "outside",
		`\windows\win.ini`: "drive", "C:notes.txt": "drive", `\\localhost\c$\windows\win.ini`: "outside", `\\?\C:\windows\win.ini`: "outside",
		"notes.txt:stream": "", ".env": "--allow-hidden", `logs\?.txt`: "no file matches", "none.txt": "does not exist",
	} {
		a.refused(t, "send", map[string]any{"path": path}, why)
	}
	sent = a.good(t, "send", map[string]any{"content": "not spent", "max_retrievals": 1})
	for _, path := range []string{"CON", `C:\windows`, `\`, data} {
		b.refused(t, "claim", map[string]any{"claim_url": sent.claimURL, "save_to": path}, "")
	}

	// The embedded relay answers on loopback, and the other process takes over.
	body := func() string {
		resp, err := http.Post(sent.claimURL+"/claim", "application/json", http.NoBody)
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return string(b)
	}
	a.end(t)
	b.good(t, "inspect", map[string]any{"claim_url": sent.claimURL})
	got := body()
	for until := time.Now().Add(20 * time.Second); !strings.Contains(got, "not spent") && time.Now().Before(until); got = body() {
		time.Sleep(100 * time.Millisecond)
	}
	if !strings.Contains(got, "not spent") {
		t.Errorf("over HTTP: %s", got)
	}
	b.end(t)
	for _, s := range []*session{a, b} {
		if strings.Contains(s.stderr.String(), "ERR") {
			t.Errorf("a server said: %s", s.stderr)
		}
	}
}

// holds checks the files of a folder.
func holds(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Error(err)
		return
	}
	var names []string
	for _, e := range all {
		names = append(names, e.Name())
		if b, err := os.ReadFile(filepath.Join(dir, e.Name())); err != nil || string(b) != want[e.Name()] {
			t.Errorf("%s holds %q, %v", e.Name(), b, err)
		}
	}
	if len(names) != len(want) {
		slices.Sort(names)
		t.Errorf("%s holds %q", dir, names)
	}
}

// killed kills a server during its work. The next server has everything that the first
// has acknowledged.
func (w *wine) killed(t *testing.T) {
	args := []string{"--data-dir", `C:\killed`, "--relay-url", testkit.FreeURL(t)}
	first := w.serve(t, args...)
	var urls []string
	for i := range 20 {
		urls = append(urls, first.good(t, "send", map[string]any{"content": fmt.Sprint("number ", i), "max_retrievals": 1}).claimURL)
	}
	first.id++
	first.write(t, map[string]any{"jsonrpc": "2.0", "id": first.id, "method": "tools/call", "params": map[string]any{
		"name": "send", "arguments": map[string]any{"content": strings.Repeat("under way ", 100_000)},
	}})
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.cmd.Wait() // killed
	next := w.serve(t, args...)
	for i, url := range urls {
		if got := next.good(t, "claim", map[string]any{"claim_url": url}); !strings.Contains(got.text, fmt.Sprint("number ", i)) {
			t.Errorf("%d: %s", i, got.text)
		}
	}
	next.end(t)
}

// hostGoesAway closes the pipe to which the server writes. The server must exit with 0.
func (w *wine) hostGoesAway(t *testing.T) {
	s := w.serve(t, "--data-dir", `C:\away`, "--relay-url", testkit.FreeURL(t))
	s.stdout.Close()
	s.write(t, map[string]any{"jsonrpc": "2.0", "id": 99, "method": "tools/list"})
	s.end(t)
}
