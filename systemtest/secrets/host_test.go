package secrets

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
)

// host is an MCP host of one protocol version, over stdio or streamable HTTP. It shows pages
// to its user, and keeps every byte that it exchanges with the server.
type host struct {
	t      *testing.T
	modern bool
	server *exec.Cmd
	log    testkit.Log
	wire   bytes.Buffer
	shown  []string // URLs of pages
	id     int

	// Over stdio:
	stdin  io.Writer
	stdout *bufio.Reader
	// Over HTTP:
	url, session string
}

const pageCapability = `{"elicitation":{"url":{}}}`

// startHost starts a server with these variables, and initializes a session with it.
func startHost(t *testing.T, env []string, overHTTP, modern bool) *host {
	t.Helper()
	h := &host{t: t, modern: modern}
	ctx, cancel := context.WithCancel(context.Background())
	args := []string{"serve", "--log-level", "debug"}
	if overHTTP {
		addr := testkit.MustFreeAddr(t)
		h.url = "http://" + addr + "/mcp"
		args = append(args, "--transport", "http", "--addr", addr)
	}
	h.server = exec.CommandContext(ctx, testkit.Program(t), args...)
	h.server.Env, h.server.Stderr = env, &h.log
	h.server.Cancel = func() error { return h.server.Process.Signal(os.Interrupt) }
	stdin, err := h.server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := h.server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	h.stdin, h.stdout = io.MultiWriter(stdin, &h.wire), bufio.NewReader(io.TeeReader(stdout, &h.wire))
	if err := h.server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if overHTTP {
			cancel()
		}
		_, _ = io.Copy(io.Discard, stdout)
		if _ = h.server.Wait(); h.server.ProcessState.ExitCode() != 0 {
			t.Errorf("serve: %v\n%s", h.server.ProcessState, h.log.String())
		}
		cancel()
	})
	if overHTTP {
		testkit.WaitHealthy(t.Context(), t, "http://"+addrOf(h.url)+"/healthz")
	}
	if !modern {
		h.exchange(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":` + pageCapability + `,"clientInfo":{"name":"test","version":"1"}}}`)
		h.exchange(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	}
	return h
}

func addrOf(url string) string {
	return strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/mcp")
}

// message is what the server sends.
type message struct {
	ID     json.RawMessage
	Method string
	Params pageRequest
	Error  *struct{ Message string }
	Result struct {
		ResultType, RequestState string
		InputRequests            map[string]struct{ Params pageRequest }
		Content                  []struct{ Text string }
		IsError                  bool
		StructuredContent        map[string]any
	}
}

type pageRequest struct{ Mode, URL string }

// call calls a tool, and opens the pages that the server asks for.
func (h *host) call(tool string, arguments map[string]any) message {
	h.t.Helper()
	params := map[string]any{"name": tool, "arguments": arguments}
	for range 3 {
		h.id++
		if h.modern {
			params["_meta"] = map[string]any{"io.modelcontextprotocol/protocolVersion": "2026-07-28",
				"io.modelcontextprotocol/clientCapabilities": json.RawMessage(pageCapability)}
		}
		b, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": h.id, "method": "tools/call", "params": params})
		if err != nil {
			h.t.Fatal(err)
		}
		m := h.exchange(string(b))
		if m.Error != nil {
			h.t.Fatalf("%s: %s", tool, m.Error.Message)
		}
		if m.Result.ResultType != "input_required" {
			return m
		}
		answers := map[string]any{}
		for id, r := range m.Result.InputRequests {
			h.shown = append(h.shown, r.Params.URL)
			answers[id] = map[string]any{"action": "accept"}
		}
		params["inputResponses"], params["requestState"] = answers, m.Result.RequestState
	}
	h.t.Fatalf("%s asks without end", tool)
	return message{}
}

// good calls a tool, which must succeed, and gives its structured content.
func (h *host) good(tool string, arguments map[string]any) map[string]any {
	h.t.Helper()
	m := h.call(tool, arguments)
	if m.Result.IsError || m.Result.StructuredContent == nil {
		h.t.Fatalf("%s: %+v", tool, m.Result)
	}
	return m.Result.StructuredContent
}

// exchange sends a message, answers requests of the server, and returns the answer.
func (h *host) exchange(line string) message {
	h.t.Helper()
	wants := strings.Contains(line, `"id":`) && strings.Contains(line, `"method":`)
	if h.url != "" {
		return h.post(line, wants)
	}
	if _, err := io.WriteString(h.stdin, line+"\n"); err != nil {
		h.t.Fatal(err)
	}
	for wants {
		answer, err := h.stdout.ReadBytes('\n')
		if err != nil {
			h.t.Fatalf("%v\n%s", err, h.log.String())
		}
		if m := h.parse(answer); m.Method == "" {
			return m
		} else if m.ID != nil {
			h.exchange(h.accept(m))
		}
	}
	return message{}
}

func (h *host) parse(b []byte) (m message) {
	h.t.Helper()
	if err := json.Unmarshal(b, &m); err != nil {
		h.t.Fatalf("%v: %s", err, b)
	}
	return m
}

// accept is the answer of a user who opens the page.
func (h *host) accept(m message) string {
	h.shown = append(h.shown, m.Params.URL)
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"action":"accept"}}`, m.ID)
}

// post sends a message over HTTP.
func (h *host) post(line string, wants bool) message {
	h.t.Helper()
	h.wire.WriteString(line)
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, h.url, strings.NewReader(line))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if h.modern {
		req.Header.Set("MCP-Protocol-Version", "2026-07-28")
		req.Header.Set("Mcp-Method", "tools/call")
		var call struct{ Params struct{ Name string } }
		_ = json.Unmarshal([]byte(line), &call)
		req.Header.Set("Mcp-Name", call.Params.Name)
	} else if h.session != "" {
		req.Header.Set("Mcp-Session-Id", h.session)
		req.Header.Set("MCP-Protocol-Version", "2025-11-25")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	if id := resp.Header.Get("Mcp-Session-Id"); id != "" {
		h.session = id
	}
	body := io.TeeReader(resp.Body, &h.wire)
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		answer, err := io.ReadAll(body)
		if err != nil || resp.StatusCode >= 300 {
			h.t.Fatalf("%s %v: %s", resp.Status, err, answer)
		}
		if !wants {
			return message{}
		}
		return h.parse(answer)
	}
	lines := bufio.NewReader(body)
	for {
		event, err := lines.ReadString('\n')
		if err != nil {
			h.t.Fatalf("the stream ends without an answer: %v", err)
		}
		data, ok := strings.CutPrefix(event, "data:")
		if !ok || strings.TrimSpace(data) == "" {
			continue
		}
		if m := h.parse([]byte(data)); m.Method == "" {
			return m
		} else if m.ID != nil {
			h.post(h.accept(m), false)
		}
	}
}
