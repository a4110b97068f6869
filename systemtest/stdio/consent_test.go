package stdio

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
)

// TestRootsInEveryVersion sends from and saves into folders that a host offers.
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

// TestConsentAccepted asks once. The answer counts for its access and project, also in
// another process, until it is revoked.
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

// TestConsentRefused asks once in a session about a folder that the user does not
// allow.
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

// TestConsentForTheSession keeps an answer for one session in memory only.
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

// TestConsentToWrite saves into a folder that does not exist yet. The user is asked
// about this folder, not about its parent.
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

// TestSilentHost offers roots and does not list them. The server waits for the list
// once, and a late list still counts.
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
	if m := h.receive(); !m.Result.IsError {
		t.Errorf("%+v", m)
	}
	wait := time.Since(begun)
	begun = time.Now()
	for range 3 {
		h.send(callLine(t, "send", map[string]any{"path": path}))
		if m := h.receive(); m.Method != "" || !m.Result.IsError {
			t.Errorf("%+v", m)
		}
	}
	if took := time.Since(begun); took > 2*wait { // each of the three would wait again
		t.Errorf("the first call took %v, three more took %v", wait, took)
	}
	h.reply(late, rootsOf(filepath.Dir(path)))
	h.send(callLine(t, "send", map[string]any{"path": path}))
	if m := h.receive(); m.Method != "" || m.Result.IsError {
		t.Errorf("after the late answer: %+v", m)
	}
}

// TestLateConsent accepts after the host has cancelled the call.
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
	testkit.Await(t, "the user's word", func() bool {
		b, err := os.ReadFile(filepath.Join(p.data, "folders.json"))
		return err == nil && strings.Contains(string(b), "docs")
	})
	if ok, text := h.call("send", map[string]any{"path": path}); !ok {
		t.Error(text)
	}
	h.wantAsked(0, "a folder that was allowed late")
}

// TestFormsThatFail has a host answer the question with an error. The server asks once,
// and the refusal says what the user can do.
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

// TestRootsBeforeForms asks the host for its roots first, and the user only about
// folders outside them.
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

// TestProjectOfClaudeCode allows the folder that Claude Code names without a question,
// but never a home folder.
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
