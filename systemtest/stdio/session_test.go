// Package stdio tests the MCP server over stdio as a process: files, names, consent,
// and hosts that end.
package stdio

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"testing"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/tools"
)

// session is a kubbi-mcp that serves MCP over stdio, as a process, and a client of a
// few lines that shows what is on the wire.
type session struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	stdout  *bufio.Reader
	traffic bytes.Buffer // all lines, in both directions
	log     testkit.Log
	ids     int
}

// start starts a server with this process's home and initializes the session. shell is
// put before the command: "", or for example "ulimit -f 100;".
func start(t *testing.T, shell string, args ...string) *session {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testkit.Program(t), append([]string{"serve"}, args...)...)
	if shell != "" {
		cmd = exec.CommandContext(t.Context(), "sh", append([]string{"-c", shell + ` exec "$0" "$@"`}, cmd.Args...)...)
	}
	cmd.Env = testkit.Environ()
	return launch(t, cmd)
}

// startIn starts a server over a data directory with a home of its own. The race pass
// skips its tests.
func startIn(t *testing.T, data, relayURL string, args ...string) *session {
	t.Helper()
	return launch(t, testkit.Command(t.Context(), t, append([]string{"serve", "--data-dir", data, "--relay-url", relayURL, "--log-level", "error"}, args...)...))
}

func launch(t *testing.T, cmd *exec.Cmd) *session {
	t.Helper()
	s := &session{cmd: cmd}
	s.cmd.Stderr = &s.log
	var err error
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.stdout = bufio.NewReaderSize(out, 1<<10)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	s.send(t, `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}`)
	s.receive(t)
	s.send(t, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	return s
}

// kill ends the process as kill -9 does.
func (s *session) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// end closes stdin, as a host does that exits, and waits for the process.
func (s *session) end() {
	s.stdin.Close()
	_ = s.cmd.Wait()
}

func (s *session) send(t *testing.T, line string) {
	t.Helper()
	s.traffic.WriteString(line)
	if _, err := io.WriteString(s.stdin, line+"\n"); err != nil {
		t.Fatalf("send: %v\n%s", err, s.log.String())
	}
}

func (s *session) receive(t *testing.T) []byte {
	t.Helper()
	line, err := s.stdout.ReadBytes('\n')
	s.traffic.Write(line)
	if err != nil {
		t.Fatalf("receive: %v\n%s", err, s.log.String())
	}
	return line
}

// toolResult is the result of a tool. Its structured content is that of the answer, or the
// manifest in the text of a claim.
type toolResult struct {
	Content           []struct{ Type, Text string }
	IsError           bool
	StructuredContent struct {
		ClaimURL    string `json:"claim_url"`
		Reach       string
		ContentType string `json:"content_type"`
		Claimed     bool
		Files       []struct {
			Name, Path, SHA256 string
			ContentType        string `json:"content_type"`
			SizeBytes          int64  `json:"size_bytes"`
		}
		Notes []string
	}
}

func (r *toolResult) text() string { return r.Content[0].Text }

func callLine(t *testing.T, tool string, args map[string]any) string {
	t.Helper()
	b, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": map[string]any{"name": tool, "arguments": args}})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (s *session) call(t *testing.T, tool string, args map[string]any) toolResult {
	t.Helper()
	s.send(t, callLine(t, tool, args))
	var answer struct{ Result toolResult }
	if line := s.receive(t); json.Unmarshal(line, &answer) != nil || len(answer.Result.Content) == 0 {
		t.Fatalf("%s: %.500s", tool, line)
	}
	if tool == "claim" && !answer.Result.IsError {
		manifest, _, _ := tools.ReadClaim(answer.Result.Content[0].Text)
		if err := json.Unmarshal(manifest, &answer.Result.StructuredContent); err != nil {
			t.Fatalf("claim: %v: %+v", err, answer.Result)
		}
	}
	return answer.Result
}

// ask writes a call and does not read its answer. The arguments are JSON.
func (s *session) ask(t *testing.T, tool, arguments string) {
	t.Helper()
	s.ids++
	s.send(t, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"arguments":%s}}`, s.ids, tool, arguments))
}

// callRaw calls a tool and returns its result as it is on the wire.
func (s *session) callRaw(t *testing.T, tool, arguments string) rawResult {
	t.Helper()
	s.ask(t, tool, arguments)
	var answer struct{ Result json.RawMessage }
	if line := s.receive(t); json.Unmarshal(line, &answer) != nil || answer.Result == nil {
		t.Fatalf("%s: %.500s", tool, line)
	}
	res := rawResult{json: answer.Result}
	if err := json.Unmarshal(answer.Result, &res); err != nil {
		t.Fatalf("%s: %v: %.500s", tool, err, answer.Result)
	}
	return res
}

type rawResult struct {
	json       json.RawMessage
	IsError    bool
	Content    []block
	Structured json.RawMessage `json:"structuredContent"`
}

type block struct{ Type, Text, Data, MIMEType string }

// sent sends a kubbi that can be claimed once, and returns its claim URL.
func (s *session) sent(t *testing.T, tool, arguments string) string {
	t.Helper()
	res := s.callRaw(t, tool, arguments)
	var out struct {
		ClaimURL string `json:"claim_url"`
	}
	if err := json.Unmarshal(res.Structured, &out); err != nil || res.IsError || out.ClaimURL == "" {
		t.Fatalf("%s: %.500s", tool, res.json)
	}
	return out.ClaimURL
}
