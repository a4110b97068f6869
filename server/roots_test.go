package server

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
)

// withRoots does the handshake of a client with or without roots.
func withRoots(t *testing.T, p *peer, has bool) {
	t.Helper()
	hello := initialize
	if has {
		hello = strings.Replace(hello, `"capabilities":{}`, `"capabilities":{"roots":{"listChanged":true}}`, 1)
	}
	p.send(t, hello)
	p.receive(t)
	p.send(t, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
}

// asked receives a request for the roots, and gives its id.
func (p *peer) asked(t *testing.T) string {
	t.Helper()
	var m struct {
		ID     string
		Method string
	}
	line := p.receive(t)
	if err := json.Unmarshal(line, &m); err != nil || m.Method != string(mcp.MethodListRoots) || m.ID == "" {
		t.Fatalf("not asked for roots: %s", line)
	}
	return m.ID
}

func fileURL(path string) string {
	return (&url.URL{Scheme: "file", Path: "/" + strings.TrimPrefix(filepath.ToSlash(path), "/")}).String()
}

// offer answers a request for the roots.
func (p *peer) offer(t *testing.T, id string, uris ...string) {
	t.Helper()
	roots := []map[string]string{}
	for _, u := range uris {
		roots = append(roots, map[string]string{"uri": u})
	}
	b, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": id, "result": map[string]any{"roots": roots}})
	if err != nil {
		t.Fatal(err)
	}
	p.send(t, string(b))
}

// TestRoots checks that an agent can send files from the folders that its host offers,
// as long as the host offers them.
func TestRoots(t *testing.T) {
	c, _ := newClient(t)
	first, second := filepath.Join(t.TempDir(), "mine & 100%"), t.TempDir()
	for _, dir := range []string{first, second} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := newPeer(t, Config{Client: c})
	withRoots(t, p, true)
	call := func(dir string) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"send","arguments":{"path":%q}}}`, filepath.Join(dir, "a.txt"))
	}
	p.send(t, call(first))
	p.offer(t, p.asked(t), fileURL(first), "https://example.com/", "file://elsewhere/tmp", "file:///no/such/folder", "file:///tmp?x", ":", fileURL(filepath.Join(second, "a.txt")))
	if r := parseResult(t, p.receive(t)); r.Result.IsError {
		t.Fatalf("from a root: %+v", r.Result)
	}
	p.send(t, call(second)) // the answer is cached
	if r := parseResult(t, p.receive(t)); !r.Result.IsError || !strings.Contains(r.Result.Content[0].Text, first) {
		t.Errorf("from elsewhere: %+v", r.Result)
	}

	p.send(t, `{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`)
	p.send(t, call(first))
	id := p.asked(t)
	p.offer(t, "kubbi-none", fileURL(first)) // to no request of ours
	p.offer(t, id, fileURL(second))
	if r := parseResult(t, p.receive(t)); !r.Result.IsError {
		t.Error("from a root that is offered no more")
	}
	p.send(t, call(second))
	if r := parseResult(t, p.receive(t)); r.Result.IsError {
		t.Errorf("from a new root: %+v", r.Result)
	}

	// An error means no roots, and is not cached.
	p.send(t, `{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`)
	p.send(t, call(second))
	p.send(t, fmt.Sprintf(`{"jsonrpc":"2.0","id":%q,"error":{"code":-32603,"message":"no"}}`, p.asked(t)))
	if r := parseResult(t, p.receive(t)); !r.Result.IsError || !strings.Contains(r.Result.Content[0].Text, "--allow-dir") {
		t.Errorf("without roots: %+v", r.Result)
	}
	p.send(t, call(second))
	p.offer(t, p.asked(t), fileURL(second))
	if r := parseResult(t, p.receive(t)); r.Result.IsError {
		t.Errorf("once more: %+v", r.Result)
	}
	p.hangUp(t)
}

// TestRootsAfterCancel cancels the call that has asked for the roots. The client's answer
// counts for the next call, which does not ask again.
func TestRootsAfterCancel(t *testing.T) {
	c, _ := newClient(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, Config{Client: c})
	withRoots(t, p, true)
	const call = `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"send","arguments":{"path":%q}}}`
	p.send(t, fmt.Sprintf(call, 1, filepath.Join(dir, "a.txt")))
	id := p.asked(t)
	p.send(t, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
	p.send(t, fmt.Sprintf(call, 2, filepath.Join(dir, "a.txt")))
	p.offer(t, id, fileURL(dir))
	if r := parseResult(t, p.receive(t)); r.Result.IsError || len(r.Result.Content) == 0 {
		t.Errorf("got %+v", r)
	}
	p.hangUp(t)
}

// TestNoRoots checks that a client without roots is not asked, and that no client is
// asked for a call without a path.
func TestNoRoots(t *testing.T) {
	c, _ := newClient(t)
	p := newPeer(t, Config{Client: c})
	withRoots(t, p, false)
	if r := p.call(t, "send", `{"path":"/tmp/x"}`); !r.Result.IsError {
		t.Errorf("sent: %+v", r.Result)
	}
	p.hangUp(t)

	p = newPeer(t, Config{Client: c})
	withRoots(t, p, true)
	for tool, args := range map[string]string{"send": `{"content":"x"}`, "send_files": `{"files":[{"name":"a","content":"x"}]}`} {
		if r := p.call(t, tool, args); r.Result.IsError {
			t.Errorf("%s: %+v", tool, r.Result)
		}
	}
	p.hangUp(t)
}
