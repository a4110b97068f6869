package cli_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// consentHost is an MCP host of one protocol version that has started the program
// in a project, with a user who answers its questions.
type consentHost struct {
	t      *testing.T
	modern bool
	caps   string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	lines  chan string
	log    logBuffer
	id     int

	// answer gives the result of a request of the server's; nil: none is given.
	answer func(method string, params json.RawMessage) any
	asked  []string // methods, and the messages of forms
}

// consentPlace is where such hosts start the program.
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
	p := consentPlace{home: filepath.Join(root, "home"), data: filepath.Join(root, "data"), project: filepath.Join(root, "project"), relay: freeURL(t)}
	for _, dir := range []string{p.home, p.project} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// folder makes a folder with a text file in it, beside the project, and gives the
// file's path.
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
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
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

// start starts the program, for a client with the given capabilities.
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
	case <-time.After(30 * time.Second):
		h.t.Fatalf("no answer\n%s", h.log.String())
		return consentMessage{}
	}
}

// note takes down what is asked, and gives the answer.
func (h *consentHost) note(method string, params json.RawMessage) any {
	var form struct{ Message string }
	_ = json.Unmarshal(params, &form)
	h.asked = append(h.asked, strings.TrimSpace(method+" "+form.Message))
	return h.answer(method, params)
}

// call calls a tool, and answers what the server asks meanwhile.
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

// wantAsked compares how often the server has asked since the last look.
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

// onBothVersions runs a test for the versions with a handshake and without.
func onBothVersions(t *testing.T, test func(t *testing.T, modern bool)) {
	t.Run("handshake", func(t *testing.T) { t.Parallel(); test(t, false) })
	t.Run("2026-07-28", func(t *testing.T) { t.Parallel(); test(t, true) })
}

// TestRootsInEveryVersion sends and saves in the folders that a host offers.
func TestRootsInEveryVersion(t *testing.T) {
	onBothVersions(t, func(t *testing.T, modern bool) {
		p := newConsentPlace(t)
		mine, other := p.folder(t, "mine & 100%"), p.folder(t, "other")
		h := p.start(t, modern, withRoots, func(method string, _ json.RawMessage) any {
			return rootsOf(filepath.Dir(mine), "/no/such/folder")
		})
		if ok, text := h.call("send", map[string]any{"content": "x"}); !ok {
			t.Error(text)
		}
		h.wantAsked(0, "a call without a path")
		for range 2 {
			if ok, text := h.call("send", map[string]any{"path": mine}); !ok {
				t.Errorf("from a root: %s", text)
			}
		}
		h.wantAsked(1, "two calls with a path")
		if ok, text := h.call("send_files", map[string]any{"files": []any{map[string]any{"path": other}}}); ok || !strings.Contains(text, "outside the allowed folders") {
			t.Errorf("from elsewhere: %s", text)
		}
	})
}

// TestConsentAccepted asks once, and remembers the answer for its access and
// project, also in another process, until it is revoked.
func TestConsentAccepted(t *testing.T) {
	onBothVersions(t, func(t *testing.T, modern bool) {
		p := newConsentPlace(t)
		path := p.folder(t, "docs")
		dir := filepath.Dir(path)
		h := p.start(t, modern, withForms, says("accept"))
		send := map[string]any{"path": path}
		if ok, text := h.call("send", send); !ok {
			t.Fatalf("allowed, and not sent: %s", text)
		}
		if len(h.asked) != 1 || !strings.Contains(h.asked[0], "\n"+dir+"\n") || !strings.Contains(h.asked[0], p.project) {
			t.Errorf("the user is not told what is asked: %q", h.asked)
		}
		h.wantAsked(1, "a new folder")
		if ok, text := h.call("send_files", map[string]any{"files": []any{map[string]any{"path": dir}}}); !ok {
			t.Errorf("the folder itself: %s", text)
		}
		h.wantAsked(0, "an allowed folder")

		file := filepath.Join(p.data, "folders.json")
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", file, info.Mode().Perm())
		}

		again := p.start(t, modern, withForms, says("decline"))
		if ok, text := again.call("send", send); !ok {
			t.Errorf("in another process: %s", text)
		}
		again.wantAsked(0, "an allowed folder in another process")
		_, sent := again.call("send", map[string]any{"content": "x"})
		claimURL := claimURLOf(t, sent)
		if ok, text := again.call("claim", map[string]any{"claim_url": claimURL, "save_to": dir}); ok {
			t.Errorf("allowed for reading, and written: %s", text)
		}
		again.wantAsked(1, "writing into a folder that may be read")

		elsewhere := p
		elsewhere.project = filepath.Join(filepath.Dir(p.project), "project 2")
		if err := os.Mkdir(elsewhere.project, 0o700); err != nil {
			t.Fatal(err)
		}
		third := elsewhere.start(t, modern, withForms, says("decline"))
		if ok, text := third.call("send", send); ok {
			t.Errorf("allowed for another project: %s", text)
		}
		third.wantAsked(1, "another project")

		out, err := p.command(t, "folders", "list").Output()
		if err != nil || !strings.Contains(string(out), dir) || !strings.Contains(string(out), "read") {
			t.Errorf("folders list: %v\n%s", err, out)
		}
		if out, err := p.command(t, "folders", "revoke", dir).CombinedOutput(); err != nil {
			t.Errorf("folders revoke: %v\n%s", err, out)
		}
		if out, err := p.command(t, "folders", "revoke", dir).CombinedOutput(); err == nil || !strings.Contains(string(out), "no such folder") {
			t.Errorf("folders revoke again: %v\n%s", err, out)
		}
		h.answer = says("decline")
		if ok, text := h.call("send", send); ok {
			t.Errorf("sent after it was revoked: %s", text)
		}
		h.wantAsked(1, "a folder that was revoked")
	})
}

// TestConsentRefused asks once in a session about what the user does not allow.
func TestConsentRefused(t *testing.T) {
	answers := map[string]func(string, json.RawMessage) any{
		"decline": says("decline"), "cancel": says("cancel"), "odd": says("perhaps"),
		"nothing": func(string, json.RawMessage) any { return map[string]any{} },
	}
	onBothVersions(t, func(t *testing.T, modern bool) {
		for name, answer := range answers {
			t.Run(name, func(t *testing.T) {
				p := newConsentPlace(t)
				path := p.folder(t, "docs")
				h := p.start(t, modern, withForms, answer)
				for i := range 3 {
					if ok, text := h.call("send", map[string]any{"path": path}); ok || !strings.Contains(text, "has not allowed") {
						t.Errorf("call %d: %s", i, text)
					}
				}
				h.wantAsked(1, "three calls")
				if _, err := os.Stat(filepath.Join(p.data, "folders.json")); err == nil {
					t.Error("it is remembered")
				}
			})
		}
		t.Run("again and again", func(t *testing.T) {
			p := newConsentPlace(t)
			h := p.start(t, modern, withForms, says("decline"))
			for i := range 10 {
				if ok, text := h.call("send", map[string]any{"path": p.folder(t, fmt.Sprint("docs", i))}); ok {
					t.Error(text)
				}
			}
			h.wantAsked(5, "ten folders, all refused")
		})
	})
}

// TestConsentForTheSession keeps an answer that is not to be remembered in memory.
func TestConsentForTheSession(t *testing.T) {
	onBothVersions(t, func(t *testing.T, modern bool) {
		p := newConsentPlace(t)
		path := p.folder(t, "docs")
		h := p.start(t, modern, withForms, func(string, json.RawMessage) any {
			return map[string]any{"action": "accept", "content": map[string]any{"remember": false}}
		})
		for range 2 {
			if ok, text := h.call("send", map[string]any{"path": path}); !ok {
				t.Error(text)
			}
		}
		h.wantAsked(1, "two calls")
		again := p.start(t, modern, withForms, says("decline"))
		if ok, _ := again.call("send", map[string]any{"path": path}); ok {
			t.Error("allowed in another session")
		}
	})
}

// TestConsentIsNeverAsked is about folders that no user should be asked for.
func TestConsentIsNeverAsked(t *testing.T) {
	onBothVersions(t, func(t *testing.T, modern bool) {
		p := newConsentPlace(t)
		ssh := filepath.Join(p.home, ".ssh")
		keys := filepath.Join(p.home, "work", "credentials")
		for _, dir := range []string{ssh, keys, p.data, filepath.Join(p.home, "work")} {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		link := filepath.Join(p.home, "work", "harmless")
		if err := os.Symlink(ssh, link); err != nil {
			t.Skip(err)
		}
		h := p.start(t, modern, withForms, says("accept"))
		for _, path := range []string{
			filepath.Join(ssh, "a.txt"), filepath.Join(link, "a.txt"), filepath.Join(keys, "a.txt"), filepath.Join(p.data, "a.txt"),
			filepath.Join(p.home, ".bashrc"), p.home, filepath.Dir(p.home) + "/home/../home", "/", "/etc/hostname", "/etc/*", "/proc/self/environ", "/usr/bin",
			"/no/such/file", filepath.Join(p.home, "work", "no.txt"), p.home + "/*", "/home/x\ny", "~/.ssh/a.txt", "a.txt",
		} {
			if ok, text := h.call("send", map[string]any{"path": path}); ok {
				t.Errorf("%q was sent: %s", path, text)
			}
			h.wantAsked(0, path)
			if ok, text := h.call("send_files", map[string]any{"files": []any{map[string]any{"path": path}}}); ok {
				t.Errorf("%q was sent: %s", path, text)
			}
			h.wantAsked(0, path)
		}
		_, sent := h.call("send", map[string]any{"content": "x"})
		claimURL := claimURLOf(t, sent)
		for _, dir := range []string{ssh, link, filepath.Join(ssh, "new"), p.home, filepath.Join(p.home, ".config", "autostart"), p.data, filepath.Join(p.data, "claims"), "/etc/cron.d", "/", filepath.Join(keys, "a.txt")} {
			if ok, text := h.call("claim", map[string]any{"claim_url": claimURL, "save_to": dir}); ok {
				t.Errorf("saved into %s: %s", dir, text)
			}
			h.wantAsked(0, dir)
		}
	})
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

// TestConsentToWrite saves into a folder that does not exist yet, which is what the
// user is asked about, and not the one above it.
func TestConsentToWrite(t *testing.T) {
	onBothVersions(t, func(t *testing.T, modern bool) {
		p := newConsentPlace(t)
		above := filepath.Dir(p.folder(t, "downloads"))
		into := filepath.Join(above, "new", "er")
		h := p.start(t, modern, withForms, says("accept"))
		_, sent := h.call("send", map[string]any{"content": "hello"})
		claimURL := claimURLOf(t, sent)
		if ok, text := h.call("claim", map[string]any{"claim_url": claimURL, "save_to": into}); !ok {
			t.Fatal(text)
		}
		if len(h.asked) != 1 || !strings.Contains(h.asked[0], "\n"+into+"\n") || !strings.Contains(h.asked[0], "save files") {
			t.Errorf("asked %q", h.asked)
		}
		h.asked = nil
		if b, err := os.ReadFile(filepath.Join(into, "content.txt")); err != nil || string(b) != "hello" {
			t.Errorf("saved %q, %v", b, err)
		}
		h.answer = says("decline")
		if ok, _ := h.call("claim", map[string]any{"claim_url": claimURL, "save_to": above}); ok {
			t.Error("saved above the folder that was allowed")
		}
		h.wantAsked(1, "the folder above")
	})
}

// TestConsentAboutALink shows the folder that a link leads to, and refuses one that
// is put there while the user thinks.
func TestConsentAboutALink(t *testing.T) {
	onBothVersions(t, func(t *testing.T, modern bool) {
		p := newConsentPlace(t)
		real, secret := filepath.Dir(p.folder(t, "real")), filepath.Dir(p.folder(t, "secret"))
		link := filepath.Join(filepath.Dir(real), "link")
		if err := os.Symlink(real, link); err != nil {
			t.Skip(err)
		}
		path := filepath.Join(link, "a.txt")
		swap := func(string, json.RawMessage) any {
			if err := os.Remove(link); err != nil {
				t.Error(err)
			}
			if err := os.Symlink(secret, link); err != nil {
				t.Error(err)
			}
			return map[string]any{"action": "accept", "content": map[string]any{}}
		}
		h := p.start(t, modern, withForms, swap)
		if !modern { // there the call comes again, and asks again
			if ok, text := h.call("send", map[string]any{"path": path}); ok || !strings.Contains(text, "changed while") {
				t.Errorf("a link that was swapped: %s", text)
			}
		} else {
			shown := 0
			h.answer = func(m string, params json.RawMessage) any {
				if shown++; shown == 1 {
					return swap(m, params)
				}
				return map[string]any{"action": "decline"}
			}
			if ok, text := h.call("send", map[string]any{"path": path}); ok {
				t.Errorf("a link that was swapped: %s", text)
			}
		}
		if !strings.Contains(h.asked[0], "\n"+real+"\n") || strings.Contains(h.asked[0], link) {
			t.Errorf("asked %q", h.asked)
		}
	})
}

// TestForgedConsent gives the answer to a question that was not asked.
func TestForgedConsent(t *testing.T) {
	p := newConsentPlace(t)
	path, other := p.folder(t, "docs"), p.folder(t, "other")
	h := p.start(t, true, withForms, says("accept"))
	if ok, text := h.call("send", map[string]any{"path": other}); !ok {
		t.Fatal(text)
	}
	// What the host says for one folder is not for another: the arguments have changed.
	asking := func(path, more string) consentMessage {
		h.send(`{"jsonrpc":"2.0","id":"f","method":"tools/call","params":{"name":"send","arguments":{"path":` + fmt.Sprintf("%q", path) + `}` + more +
			`,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":` + withForms + `}}}`)
		return h.receive()
	}
	third := p.folder(t, "third")
	m := asking(third, "")
	if len(m.Result.InputRequests) != 1 {
		t.Fatalf("not asked: %+v", m)
	}
	for id := range m.Result.InputRequests {
		more := `,"requestState":` + fmt.Sprintf("%q", m.Result.RequestState) + `,"inputResponses":{` + fmt.Sprintf("%q", id) + `:{"action":"accept","content":{}}}`
		if m := asking(path, more); len(m.Result.InputRequests) != 1 {
			t.Errorf("an answer for one folder opens another: %+v", m.Result)
		}
		if m := asking(third, more); m.Result.IsError || len(m.Result.InputRequests) != 0 {
			t.Errorf("the right answer: %+v", m.Result)
		}
		if out, err := p.command(t, "folders", "revoke", "--all").CombinedOutput(); err != nil {
			t.Errorf("folders revoke: %v\n%s", err, out)
		}
		if m := asking(third, more); !m.Result.IsError {
			t.Errorf("an answer that is given twice: %+v", m.Result)
		}
	}
}

// TestSilentHost offers roots and does not say which: that costs its wait once, and
// an answer that comes late still counts.
func TestSilentHost(t *testing.T) {
	p := newConsentPlace(t)
	path := p.folder(t, "docs")
	var late json.RawMessage
	h := p.start(t, false, withRoots, nil)
	h.send(callLine(t, "send", map[string]any{"path": path}))
	if m := h.receive(); m.Method != "roots/list" {
		t.Fatalf("%+v", m)
	} else {
		late = m.ID
	}
	begun := time.Now()
	if m := h.receive(); !m.Result.IsError || time.Since(begun) > 10*time.Second {
		t.Errorf("after %v: %+v", time.Since(begun), m)
	}
	begun = time.Now()
	for range 3 {
		h.send(callLine(t, "send", map[string]any{"path": path}))
		if m := h.receive(); m.Method != "" || !m.Result.IsError {
			t.Errorf("%+v", m)
		}
	}
	if took := time.Since(begun); took > 8*time.Second { // three waits would be nine
		t.Errorf("three more calls took %v", took)
	}
	h.reply(late, rootsOf(filepath.Dir(path)))
	h.send(callLine(t, "send", map[string]any{"path": path}))
	if m := h.receive(); m.Method != "" || m.Result.IsError {
		t.Errorf("after the late answer: %+v", m)
	}
}

// TestLateConsent says yes after the host has given up the call.
func TestLateConsent(t *testing.T) {
	p := newConsentPlace(t)
	path := p.folder(t, "docs")
	h := p.start(t, false, withForms, nil)
	h.send(callLine(t, "send", map[string]any{"path": path}))
	question := h.receive()
	if question.Method != "elicitation/create" {
		t.Fatalf("%+v", question)
	}
	h.send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
	h.reply(question.ID, map[string]any{"action": "accept"})
	await(t, "the user's word", func() bool {
		b, err := os.ReadFile(filepath.Join(p.data, "folders.json"))
		return err == nil && strings.Contains(string(b), "docs")
	})
	if ok, text := h.call("send", map[string]any{"path": path}); !ok {
		t.Error(text)
	}
	h.wantAsked(0, "a folder that was allowed late")
}

// TestQuestionsAtOnce has an agent call for many folders at once: its user sees a few
// questions, and one for each folder.
func TestQuestionsAtOnce(t *testing.T) {
	p := newConsentPlace(t)
	h := p.start(t, false, withForms, nil)
	call := func(id int, name string) {
		b, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": id, "method": "tools/call",
			"params": map[string]any{"name": "send", "arguments": map[string]any{"path": p.folder(t, name)}}})
		if err != nil {
			t.Fatal(err)
		}
		h.send(string(b))
	}
	for i := range 20 {
		call(i, fmt.Sprint("docs", i))
	}
	var questions []json.RawMessage
	for range 20 { // three questions, and seventeen refusals
		if m := h.receive(); m.Method != "" {
			questions = append(questions, m.ID)
		} else if !m.Result.IsError || !strings.Contains(m.Result.Content[0].Text, "about other folders") {
			t.Errorf("%+v", m)
		}
	}
	if len(questions) != 3 {
		t.Fatalf("%d questions", len(questions))
	}
	for _, id := range questions {
		h.reply(id, map[string]any{"action": "accept"})
	}
	for range 3 {
		if m := h.receive(); m.Method != "" || m.Result.IsError {
			t.Errorf("%+v", m)
		}
	}
	for i := range 5 { // of one folder
		call(100+i, "same")
	}
	question := h.receive()
	if question.Method != "elicitation/create" {
		t.Fatalf("%+v", question)
	}
	h.reply(question.ID, map[string]any{"action": "accept"})
	for range 5 {
		if m := h.receive(); m.Method != "" || m.Result.IsError {
			t.Errorf("%+v", m)
		}
	}
}

// TestFormsThatFail has a host that answers the question with an error: it is asked
// once, and the refusal says what the user can do.
func TestFormsThatFail(t *testing.T) {
	p := newConsentPlace(t)
	h := p.start(t, false, withForms, nil)
	h.send(callLine(t, "send", map[string]any{"path": p.folder(t, "docs")}))
	m := h.receive()
	h.send(`{"jsonrpc":"2.0","id":` + string(m.ID) + `,"error":{"code":-32601,"message":"Method not found"}}`)
	if m := h.receive(); !m.Result.IsError || !strings.Contains(m.Result.Content[0].Text, "--allow-dir") {
		t.Errorf("%+v", m)
	}
	if ok, text := h.call("send", map[string]any{"path": p.folder(t, "other")}); ok || !strings.Contains(text, "--allow-dir") {
		t.Error(text)
	}
	h.wantAsked(0, "a host that does not ask")
}

// TestRootsBeforeForms asks the host first, and the user only about what the roots
// do not hold.
func TestRootsBeforeForms(t *testing.T) {
	onBothVersions(t, func(t *testing.T, modern bool) {
		p := newConsentPlace(t)
		mine, other := p.folder(t, "mine"), p.folder(t, "other")
		h := p.start(t, modern, withBoth, func(method string, params json.RawMessage) any {
			if method == "roots/list" {
				return rootsOf(filepath.Dir(mine))
			}
			return says("accept")(method, params)
		})
		if ok, text := h.call("send", map[string]any{"path": mine}); !ok {
			t.Error(text)
		}
		h.wantAsked(1, "a path in a root")
		if ok, text := h.call("send", map[string]any{"path": other}); !ok {
			t.Error(text)
		}
		if len(h.asked) != 1 || !strings.Contains(h.asked[0], filepath.Dir(mine)) { // its project
			t.Errorf("asked %q", h.asked)
		}
	})
}

// TestProjectOfClaudeCode opens the folder that Claude Code names, without asking
// anybody; but never a home.
func TestProjectOfClaudeCode(t *testing.T) {
	p := newConsentPlace(t)
	path := p.folder(t, "app")
	p.env = []string{"CLAUDE_PROJECT_DIR=" + filepath.Dir(path)}
	h := p.start(t, false, `{"elicitation":{}}`, says("decline"))
	for _, given := range []string{path, "a.txt"} {
		if ok, text := h.call("send", map[string]any{"path": given}); !ok {
			t.Errorf("%s: %s", given, text)
		}
	}
	h.wantAsked(0, "the project")

	if err := os.WriteFile(filepath.Join(p.home, "a.txt"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{p.home, "/", "${PROJECT}", "/no/such/folder", ""} {
		p.env = []string{"CLAUDE_PROJECT_DIR=" + dir}
		h := p.start(t, false, `{}`, nil)
		if ok, text := h.call("send", map[string]any{"path": filepath.Join(p.home, "a.txt")}); ok {
			t.Errorf("project %q: %s", dir, text)
		}
	}
}
