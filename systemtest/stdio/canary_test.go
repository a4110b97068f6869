package stdio

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"kubbi-mcp/internal/handles"
	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi"
)

// TestCanary sends a variable and a text by handle, has a command use them, and looks for the
// value, the tokens and the keys in all that can be seen of it: messages, logs, arguments of
// processes, and files.
func TestCanary(t *testing.T) {
	onBothVersions(t, func(t *testing.T, modern bool) {
		const value = "canary-4711-correct-horse"
		p := newConsentPlace(t)
		p.env = []string{"CANARY=" + value, "KUBBI_ALLOW_ENV=OTHER,CANARY", "KUBBI_LOG_LEVEL=debug"}
		h := p.start(t, modern, `{}`, nil)
		sent := func(tool string, args map[string]any) string {
			ok, text := h.call(tool, args)
			var out struct{ ID string }
			if err := json.Unmarshal([]byte(text), &out); !ok || err != nil {
				t.Fatalf("%s: %s", tool, text)
			}
			return out.ID
		}
		variable := sent("send", map[string]any{"env": "CANARY"})
		text := sent("send", map[string]any{"content": "some text", "handle": true, "sealed": true, "max_retrievals": 3})
		files := sent("send_files", map[string]any{"files": []any{map[string]any{"name": "a.txt", "content": "x"}}, "handle": true})
		secrets := map[string]string{"the value": value, "a private key": "kbi_"}
		for name, id := range map[string]string{"variable": variable, "text": text, "files": files} {
			kept, err := handles.New(p.data, "").Get(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			u, err := kubbi.ParseClaimURL(kept.ClaimURL)
			if err != nil {
				t.Fatal(err)
			}
			secrets["the token of "+name] = u.Token()
			if u.Fragment() != "" {
				secrets["the key of "+name] = strings.TrimPrefix(u.Fragment(), "k=")
			}
		}
		if len(secrets) != 7 {
			t.Fatalf("%d secrets", len(secrets))
		}
		for _, call := range []struct {
			tool string
			args map[string]any
			ok   bool
		}{
			{"inspect", map[string]any{"claim_url": variable}, true},
			{"claim", map[string]any{"claim_url": variable}, false},
			{"claim", map[string]any{"claim_url": variable, "save_to": "received"}, false},
			{"claim", map[string]any{"claim_url": text}, true},
			{"claim", map[string]any{"claim_url": text, "again": true}, true},
			{"claim", map[string]any{"claim_url": files, "save_to": "received"}, true},
			{"get", map[string]any{"id": variable}, true},
			{"list", map[string]any{}, true},
			{"send", map[string]any{"env": "OTHER"}, false},
			{"send", map[string]any{"env": "PATH"}, false},
		} {
			if ok, text := h.call(call.tool, call.args); ok != call.ok {
				t.Errorf("%s %v: %s", call.tool, call.args, text)
			}
		}
		if _, text := h.call("list", map[string]any{}); !strings.Contains(text, `"public_key":"kbp_`) {
			t.Errorf("this machine's key is not told: %s", text)
		}
		run := useByHandle(t, p, variable, secrets)
		if ok, text := h.call("delete", map[string]any{"id": text}); !ok {
			t.Error(text)
		}
		h.end()
		seen := map[string][]byte{"messages": []byte(h.wire.String()), "the server's log": []byte(h.log.String()), "the output of run": run}
		for _, path := range testkit.FilesIn(t, p.data) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			seen[path] = b
		}
		for where, b := range seen {
			for name, secret := range secrets {
				if bytes.Contains(b, []byte(secret)) {
					t.Errorf("%s is in %s", name, where)
				}
			}
		}
		if len(seen["messages"]) < 5000 || len(seen["the server's log"]) == 0 || len(seen) < 8 {
			t.Errorf("too little was looked at: %d bytes of messages, %d of the log, %d places", len(seen["messages"]), len(seen["the server's log"]), len(seen))
		}
	})
}

// useByHandle runs a command with a variable by its id, and looks for secrets in the
// arguments of all processes meanwhile. It gives the output.
func useByHandle(t *testing.T, p consentPlace, id string, secrets map[string]string) []byte {
	t.Helper()
	ready, stop := filepath.Join(p.home, "ready"), filepath.Join(p.home, "stop")
	cmd := p.command(t, "run", "--log-level", "debug", "--env", "USED="+id)
	cmd.Args = append(cmd.Args, "--", "sh", "-c", `echo "$USED"; test "$USED" = "$CANARY" && : > "$0"; while ! test -e "$1"; do sleep 0.02; done`, ready, stop)
	var out testkit.Log
	cmd.Stdout, cmd.Stderr = &out, &out
	if runtime.GOOS == "windows" {
		t.Skip("the command is that of a Unix shell")
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	testkit.Await(t, "the command to have the variable", func() bool { _, err := os.Stat(ready); return err == nil })
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, path := range all {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		found = found || bytes.Contains(b, []byte("USED="+id))
		for name, secret := range secrets {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s is in %s", name, path)
			}
		}
	}
	if runtime.GOOS == "linux" && !found {
		t.Error("run is in no list of processes")
	}
	if err := os.WriteFile(stop, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	if !strings.Contains(out.String(), "[USED]") {
		t.Errorf("output %q", out.String())
	}
	return []byte(out.String())
}

// TestHandleOnClipboard asks the user once whether claim URLs go to the clipboard.
func TestHandleOnClipboard(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("it is the clipboard's program of Linux")
	}
	onBothVersions(t, func(t *testing.T, modern bool) {
		for _, action := range []string{"accept", "decline"} {
			p := newConsentPlace(t)
			copied := filepath.Join(p.home, "copied")
			testkit.WriteProgram(t, filepath.Join(p.home, "wl-copy"), []byte("#!/bin/sh\ncat > "+copied+"\n"))
			p.env = []string{"WAYLAND_DISPLAY=wayland-test", "PATH=" + p.home + ":" + os.Getenv("PATH")}
			h := p.start(t, modern, withForms, says(action))
			for range 2 {
				ok, text := h.call("send", map[string]any{"content": "x", "handle": true})
				if !ok || strings.Contains(text, "is on your user's clipboard") != (action == "accept") {
					t.Errorf("%s: %s", action, text)
				}
			}
			h.wantAsked(1, action)
			if ok, _ := h.call("send", map[string]any{"content": "x"}); !ok {
				t.Error("not sent")
			}
			b, err := os.ReadFile(copied)
			if u, perr := kubbi.ParseClaimURL(string(b)); action == "accept" && (err != nil || perr != nil || strings.Contains(h.wire.String(), u.Token())) {
				t.Errorf("on the clipboard: %q, %v, %v", b, err, perr)
			} else if action == "decline" && !os.IsNotExist(err) {
				t.Errorf("on the clipboard: %q", b)
			}
			h.end()
		}
	})
}
