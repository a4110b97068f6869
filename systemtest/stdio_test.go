package systemtest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"testing"
	"time"
)

// rawSession is a host of a few lines over stdio: it shows what stands on the
// wire.
type rawSession struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
	ids   int
}

// startRaw starts a server over a data directory, and says hello.
func startRaw(t *testing.T, data, relayURL string, args ...string) *rawSession {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary(t), append([]string{"serve", "--data-dir", data, "--relay-url", relayURL, "--log-level", "error"}, args...)...)
	cmd.Env = bareEnv(t)
	cmd.WaitDelay = time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &rawSession{cmd: cmd, stdin: stdin, out: bufio.NewReaderSize(stdout, 1<<10)}
	t.Cleanup(s.end)
	s.write(t, `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"raw","version":"1"}}}`)
	s.read(t)
	s.write(t, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	return s
}

// end closes stdin, as a host does that goes away, and waits for the process.
func (s *rawSession) end() {
	s.stdin.Close()
	_ = s.cmd.Wait()
}

func (s *rawSession) write(t *testing.T, line string) {
	t.Helper()
	if _, err := io.WriteString(s.stdin, line+"\n"); err != nil {
		t.Fatal(err)
	}
}

func (s *rawSession) read(t *testing.T) []byte {
	t.Helper()
	line, err := s.out.ReadBytes('\n')
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	return line
}

// ask writes a call, and does not read its answer. The arguments are JSON.
func (s *rawSession) ask(t *testing.T, tool, arguments string) {
	t.Helper()
	s.ids++
	s.write(t, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"arguments":%s}}`, s.ids, tool, arguments))
}

// call calls a tool, and gives its result as it stands on the wire.
func (s *rawSession) call(t *testing.T, tool, arguments string) rawResult {
	t.Helper()
	s.ask(t, tool, arguments)
	var answer struct{ Result json.RawMessage }
	if line := s.read(t); json.Unmarshal(line, &answer) != nil || answer.Result == nil {
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

// sent sends, and gives the claim URL. It can be claimed once.
func (s *rawSession) sent(t *testing.T, tool, arguments string) string {
	t.Helper()
	res := s.call(t, tool, arguments)
	var out struct {
		ClaimURL string `json:"claim_url"`
	}
	if err := json.Unmarshal(res.Structured, &out); err != nil || res.IsError || out.ClaimURL == "" {
		t.Fatalf("%s: %.500s", tool, res.json)
	}
	return out.ClaimURL
}
