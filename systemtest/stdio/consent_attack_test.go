package stdio

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestConsentIsNeverAsked tries folders about which the user must not be asked.
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

// TestConsentAboutALink shows the user the target of a link, and refuses a link that
// appears while the user is asked.
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

// TestForgedConsent sends an answer to a question that the server did not ask.
func TestForgedConsent(t *testing.T) {
	p := newConsentPlace(t)
	path, other := p.folder(t, "docs"), p.folder(t, "other")
	h := p.start(t, true, withForms, says("accept"))
	if ok, text := h.call("send", map[string]any{"path": other}); !ok {
		t.Fatal(text)
	}
	// An answer for one folder does not count for another: the arguments have changed.
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

// TestQuestionsAtOnce has an agent call for many folders at once. The user sees few
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

// TestAnswersAtOnce has an agent call for one folder several times at once, in the protocol
// version where each call carries the user's answer. Every call that carries it succeeds.
func TestAnswersAtOnce(t *testing.T) {
	const calls = 10
	p := newConsentPlace(t)
	path := p.folder(t, "same")
	h := p.start(t, true, withForms, nil)
	call := func(id int, more string) {
		h.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"send","arguments":{"path":%q}%s`+
			`,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":%s}}}`,
			id, path, more, withForms))
	}
	for i := range calls {
		call(i, "")
	}
	more := ""
	for range calls {
		m := h.receive()
		if len(m.Result.InputRequests) != 1 {
			t.Fatalf("not asked: %+v", m)
		}
		for id := range m.Result.InputRequests {
			more = fmt.Sprintf(`,"requestState":%q,"inputResponses":{%q:{"action":"accept","content":{}}}`, m.Result.RequestState, id)
		}
	}
	for i := range calls {
		call(calls+i, more)
	}
	for range calls {
		if m := h.receive(); m.Result.IsError || len(m.Result.Content) == 0 {
			t.Errorf("an answer that comes with others: %+v", m.Result)
		}
	}
}
