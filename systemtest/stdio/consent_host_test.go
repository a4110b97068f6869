package stdio

import (
	"bufio"
	"encoding/json"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
)

// consentHost is an MCP host of one protocol version. It starts the program in a
// project, and its user answers questions.
type consentHost struct {
	t      *testing.T
	modern bool
	caps   string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	lines  chan string
	log    testkit.Log
	wire   testkit.Log // all lines, in both directions
	id     int

	// answer gives the result of a request of the server. If it is nil, the host does
	// not answer.
	answer func(method string, params json.RawMessage) any
	asked  []string // methods, and the messages of forms
}

// consentPlace holds the folders in which such hosts start the program.
type consentPlace struct {
	home, data, project, relay string
	env                        []string
}

func newConsentPlace(t *testing.T) consentPlace {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p := consentPlace{home: filepath.Join(root, "home"), data: filepath.Join(root, "data"), project: filepath.Join(root, "project"), relay: testkit.FreeURL(t)}
	for _, dir := range []string{p.home, p.project} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// folder makes a folder with a text file beside the project, and returns the path of
// the file.
func (p consentPlace) folder(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(filepath.Dir(p.project), name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "a.txt")
	if err := os.WriteFile(path, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (p consentPlace) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path := testkit.Program(t)
	cmd := exec.CommandContext(t.Context(), path, append(args, "--data-dir", p.data, "--relay-url", p.relay)...)
	cmd.Dir = p.project
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "KUBBI_") && !strings.HasPrefix(v, "CLAUDE_") && !strings.HasPrefix(v, "PWD=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(append(cmd.Env, "HOME="+p.home, "USERPROFILE="+p.home), p.env...)
	return cmd
}

// start starts the program for a client with these capabilities.
func (p consentPlace) start(t *testing.T, modern bool, caps string, answer func(method string, params json.RawMessage) any) *consentHost {
	t.Helper()
	h := &consentHost{t: t, modern: modern, caps: caps, answer: answer, lines: make(chan string, 100), cmd: p.command(t, "serve")}
	h.cmd.Stderr = &h.log
	var err error
	if h.stdin, err = h.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(h.lines)
		r := bufio.NewReader(out)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = h.wire.Write([]byte(line))
			h.lines <- line
		}
	}()
	t.Cleanup(h.end)
	if !modern {
		h.send(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":` + caps + `,"clientInfo":{"name":"test","version":"1"}}}`)
		h.receive()
		h.send(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	}
	return h
}

func (h *consentHost) end() {
	_ = h.stdin.Close()
	for range h.lines {
	}
	_ = h.cmd.Wait()
}

func (h *consentHost) send(line string) {
	h.t.Helper()
	_, _ = h.wire.Write([]byte(line + "\n"))
	if _, err := io.WriteString(h.stdin, line+"\n"); err != nil {
		h.t.Fatalf("send: %v\n%s", err, h.log.String())
	}
}

type consentMessage struct {
	ID     json.RawMessage
	Method string
	Params json.RawMessage
	Error  *struct{ Message string }
	Result struct {
		Content       []struct{ Text string }
		IsError       bool
		ResultType    string
		InputRequests map[string]struct {
			Method string
			Params json.RawMessage
		}
		RequestState string
	}
}

func (h *consentHost) receive() consentMessage {
	h.t.Helper()
	select {
	case line, ok := <-h.lines:
		var m consentMessage
		if !ok {
			h.t.Fatalf("the server has ended\n%s", h.log.String())
		}
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			h.t.Fatalf("%v: %s", err, line)
		}
		return m
	case <-time.After(testkit.Patience):
		h.t.Fatalf("no answer\n%s", h.log.String())
		return consentMessage{}
	}
}

// note records a request and returns its answer.
func (h *consentHost) note(method string, params json.RawMessage) any {
	var form struct{ Message string }
	_ = json.Unmarshal(params, &form)
	h.asked = append(h.asked, strings.TrimSpace(method+" "+form.Message))
	return h.answer(method, params)
}

// call calls a tool, and answers the requests of the server meanwhile.
func (h *consentHost) call(tool string, args map[string]any) (ok bool, text string) {
	h.t.Helper()
	extra := map[string]any{}
	for range 5 {
		h.id++
		params := map[string]any{"name": tool, "arguments": args}
		for k, v := range extra {
			params[k] = v
		}
		if h.modern {
			params["_meta"] = map[string]any{"io.modelcontextprotocol/protocolVersion": "2026-07-28",
				"io.modelcontextprotocol/clientCapabilities": json.RawMessage(h.caps), "io.modelcontextprotocol/clientInfo": map[string]any{"name": "test", "version": "1"}}
		}
		b, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": h.id, "method": "tools/call", "params": params})
		if err != nil {
			h.t.Fatal(err)
		}
		h.send(string(b))
		m := h.receive()
		for m.Method != "" {
			if h.modern {
				h.t.Fatalf("a request in a version that has none: %s", m.Method)
			}
			if result := h.note(m.Method, m.Params); result != nil {
				h.reply(m.ID, result)
			}
			m = h.receive()
		}
		if m.Error != nil {
			h.t.Fatalf("%s: %s", tool, m.Error.Message)
		}
		if m.Result.ResultType != "input_required" {
			for _, c := range m.Result.Content {
				text += c.Text
			}
			return !m.Result.IsError, text
		}
		if !h.modern || len(m.Result.InputRequests) == 0 {
			h.t.Fatalf("input is asked for: %+v", m.Result)
		}
		responses := map[string]any{}
		for id, r := range m.Result.InputRequests {
			if result := h.note(r.Method, r.Params); result != nil {
				responses[id] = result
			}
		}
		extra = map[string]any{"inputResponses": responses, "requestState": m.Result.RequestState}
	}
	h.t.Fatal("the server asks without end")
	return false, ""
}

func (h *consentHost) reply(id json.RawMessage, result any) {
	b, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": id, "result": result})
	if err != nil {
		h.t.Fatal(err)
	}
	h.send(string(b))
}

// wantAsked checks how often the server has asked since the last check.
func (h *consentHost) wantAsked(n int, what string) {
	h.t.Helper()
	if len(h.asked) != n {
		h.t.Errorf("%s: asked %d times, want %d: %q", what, len(h.asked), n, h.asked)
	}
	h.asked = nil
}

func rootsOf(paths ...string) any {
	roots := []map[string]any{}
	for _, p := range paths {
		u := url.URL{Scheme: "file", Path: "/" + strings.TrimPrefix(filepath.ToSlash(p), "/")}
		roots = append(roots, map[string]any{"uri": u.String(), "name": "x"})
	}
	return map[string]any{"roots": roots}
}

const (
	withForms = `{"elicitation":{}}`
	withRoots = `{"roots":{"listChanged":true}}`
	withBoth  = `{"roots":{},"elicitation":{"form":{}}}`
)

func says(action string) func(string, json.RawMessage) any {
	return func(string, json.RawMessage) any {
		if action == "accept" {
			return map[string]any{"action": action, "content": map[string]any{"remember": true}}
		}
		return map[string]any{"action": action}
	}
}

// onBothVersions runs a test for a protocol version with a handshake and for one
// without.
func onBothVersions(t *testing.T, test func(t *testing.T, modern bool)) {
	t.Run("handshake", func(t *testing.T) { t.Parallel(); test(t, false) })
	t.Run("2026-07-28", func(t *testing.T) { t.Parallel(); test(t, true) })
}

func claimURLOf(t *testing.T, sent string) string {
	t.Helper()
	_, rest, ok := strings.Cut(sent, `"claim_url":"`)
	claimURL, _, whole := strings.Cut(rest, `"`)
	if !ok || !whole {
		t.Fatalf("no claim URL: %s", sent)
	}
	return claimURL
}
