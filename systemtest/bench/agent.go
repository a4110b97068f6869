//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// agent is a stdio MCP server started as a child process.
type agent struct {
	*process
	in  io.WriteCloser
	out *bufio.Reader
	id  int
}

const initialize = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}` + "\n"

// agent launches a server and waits for its answer to initialize; took is the
// time in seconds from the start of the process to that answer.
func (s *suite) agent(env []string, bin string, args ...string) (a *agent, took float64, err error) {
	cmd := exec.CommandContext(s.ctx, bin, args...)
	cmd.Env = append(os.Environ(), env...)
	a = &agent{}
	if a.in, err = cmd.StdinPipe(); err != nil {
		return nil, 0, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, 0, err
	}
	a.out = bufio.NewReaderSize(out, 1<<20)
	begin := time.Now()
	if a.process, err = s.launch(cmd); err != nil {
		return nil, 0, err
	}
	if _, err := a.roundTrip([]byte(initialize)); err != nil {
		return nil, 0, errors.Join(err, a.stop())
	}
	took = time.Since(begin).Seconds()
	_, err = io.WriteString(a.in, `{"jsonrpc":"2.0","method":"notifications/initialized"}`+"\n")
	return a, took, err
}

// home is a data directory, and the origin of its embedded relay.
type home struct{ data, url string }

func (s *suite) home(name string) (home, error) {
	data, err := s.temp(name)
	if err != nil {
		return home{}, err
	}
	addr, err := freeAddr()
	return home{data, "http://" + addr}, err
}

// kubbi launches a kubbi-mcp on a data directory.
func (s *suite) kubbi(b build, h home, flags ...string) (*agent, float64, error) {
	args := append([]string{"serve", "--log-level", "error", "--max-inline", "1073741824", "--relay-url", h.url}, flags...)
	return s.agent([]string{"KUBBI_DATA_DIR=" + h.data, "KUBBI_API_KEY=", "KUBBI_BASE_URL="}, b.path, args...)
}

// close ends the server as a host does, by closing its standard input.
func (a *agent) close() error {
	a.in.Close()
	return a.wait()
}

// roundTrip writes one line and reads one.
func (a *agent) roundTrip(line []byte) ([]byte, error) {
	if _, err := a.in.Write(line); err != nil {
		return nil, err
	}
	for {
		answer, err := a.out.ReadBytes('\n')
		if err != nil {
			return nil, err
		}
		if bytes.Contains(answer[:min(len(answer), 200)], []byte(`"method"`)) {
			continue // a notification, or a request of the server's
		}
		return answer, nil
	}
}

// answer is what the measurements read of a tool result.
type answer struct {
	Result struct {
		IsError bool `json:"isError"`
		Content []struct {
			Text string `json:"text"`
		} `json:"content"`
		Structured struct {
			ID       string `json:"id"`
			ClaimURL string `json:"claim_url"`
		} `json:"structuredContent"`
	} `json:"result"`
	Error json.RawMessage `json:"error"`
}

// holds returns an error if no block of the answer has the text.
func (a *answer) holds(text string) error {
	for _, c := range a.Result.Content {
		if strings.Contains(c.Text, text) {
			return nil
		}
	}
	return errors.New("another content came back")
}

// toolCall writes a message that calls a tool.
func toolCall(id int, tool string, arguments map[string]any) []byte {
	b, err := json.Marshal(map[string]any{
		"jsonrpc": "2.0", "id": id, "method": "tools/call",
		"params": map[string]any{"name": tool, "arguments": arguments},
	})
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return b
}

// timed calls a tool and gives the seconds it took, from the first byte written
// to the last byte read.
func (a *agent) timed(tool string, arguments map[string]any) (float64, *answer, error) {
	a.id++
	line := append(toolCall(a.id, tool, arguments), '\n')
	begin := time.Now()
	raw, err := a.roundTrip(line)
	took := time.Since(begin).Seconds()
	if err != nil {
		return 0, nil, err
	}
	var got answer
	if err := json.Unmarshal(raw, &got); err != nil {
		return 0, nil, err
	}
	if got.Error != nil || got.Result.IsError {
		return 0, nil, fmt.Errorf("%s: %.300s", tool, raw)
	}
	return took, &got, nil
}

// handOver sends a text, claims it, compares it, and gives the seconds of each.
func (a *agent) handOver(text string) (send, claim float64, err error) {
	send, sent, err := a.timed("send", map[string]any{"content": text, "max_retrievals": 1})
	if err != nil {
		return 0, 0, err
	}
	claim, got, err := a.timed("claim", map[string]any{"claim_url": sent.Result.Structured.ClaimURL})
	if err != nil {
		return 0, 0, err
	}
	return send, claim, got.holds(text)
}

// repeat has an echo server give back a text.
func (a *agent) repeat(text string) (float64, error) {
	took, got, err := a.timed("echo", map[string]any{"message": text})
	if err != nil {
		return 0, err
	}
	return took, got.holds(text)
}
