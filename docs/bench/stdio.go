package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// agent is a stdio MCP server started as a child process.
type agent struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	id  int
}

const initialize = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}` + "\n"

// launch starts a server and waits for its answer to initialize; took is the
// time from the start of the process to that answer.
func launch(ctx context.Context, env []string, bin string, args ...string) (a *agent, took time.Duration, err error) {
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Env = append(os.Environ(), env...)
	a = &agent{cmd: cmd}
	if a.in, err = cmd.StdinPipe(); err != nil {
		return nil, 0, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, 0, err
	}
	a.out = bufio.NewReaderSize(out, 1<<20)
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, 0, err
	}
	if _, err := a.roundTrip([]byte(initialize)); err != nil {
		return nil, 0, errors.Join(err, a.stop())
	}
	took = time.Since(begin)
	_, err = io.WriteString(a.in, `{"jsonrpc":"2.0","method":"notifications/initialized"}`+"\n")
	return a, took, err
}

// kubbi launches kubbi-mcp on a data directory.
func (s *suite) kubbi(data string, flags ...string) (*agent, time.Duration, error) {
	args := append([]string{"serve", "--log-level", "error", "--max-inline", "1073741824", "--relay-url", "http://127.0.0.1:7199"}, flags...)
	return launch(s.ctx, []string{"KUBBI_DATA_DIR=" + data, "KUBBI_API_KEY=", "KUBBI_BASE_URL="}, s.bin, args...)
}

func (a *agent) stop() error {
	a.in.Close()
	return a.cmd.Wait()
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

// line is a tools/call of one tool.
func (a *agent) line(tool string, arguments any) []byte {
	a.id++
	b, err := json.Marshal(map[string]any{
		"jsonrpc": "2.0", "id": a.id, "method": "tools/call",
		"params": map[string]any{"name": tool, "arguments": arguments},
	})
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return append(b, '\n')
}

// answer is what the measurements read of a tool result.
type answer struct {
	Result struct {
		IsError    bool            `json:"isError"`
		Content    json.RawMessage `json:"content"`
		Structured struct {
			ClaimURL string `json:"claim_url"`
		} `json:"structuredContent"`
	} `json:"result"`
	Error json.RawMessage `json:"error"`
}

// timed calls a tool and gives the time it took, from the first byte written
// to the last byte read.
func (a *agent) timed(tool string, arguments any) (time.Duration, *answer, error) {
	line := a.line(tool, arguments)
	begin := time.Now()
	raw, err := a.roundTrip(line)
	took := time.Since(begin)
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

// memory reads a line of /proc/PID/status, in MB of 1,048,576 bytes: VmRSS is
// what is resident now, VmHWM the most there ever was.
func (a *agent) memory(field string) (float64, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(a.cmd.Process.Pid) + "/status")
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(b), field+":")
	if !ok {
		return 0, fmt.Errorf("no %s in status", field)
	}
	kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	return kb / 1024, err
}
