package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	connections = 32
	calls       = 8000 // a round over streamable HTTP
)

// httpServer is a kubbi-mcp that serves MCP over HTTP, as it does by default,
// with a log line for each call.
type httpServer struct {
	url    string // its origin
	cmd    *exec.Cmd
	stderr bytes.Buffer
}

// serveHTTP starts kubbi-mcp with a fresh data directory, and waits until it
// answers.
func (s *suite) serveHTTP() (*httpServer, error) {
	data, err := s.temp("mcp")
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	relay, err := freeAddr()
	if err != nil {
		return nil, err
	}
	h := &httpServer{url: "http://" + addr, cmd: exec.CommandContext(s.ctx, s.bin, "serve", "--transport", "http", "--addr", addr, "--max-inline", "1073741824", "--relay-url", "http://"+relay)}
	h.cmd.Env = append(os.Environ(), "KUBBI_DATA_DIR="+data, "KUBBI_API_KEY=", "KUBBI_BASE_URL=", "KUBBI_MCP_TOKEN=", "KUBBI_MCP_TOKEN_FILE=")
	h.cmd.Stderr = &h.stderr
	if err := h.cmd.Start(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(s.ctx, 10*time.Second)
	defer cancel()
	for {
		if _, err = post(ctx, http.DefaultClient, http.MethodGet, h.url+"/healthz", nil, "", ""); err == nil {
			return h, nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(err, h.stop())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// freeAddr is a loopback address that nobody has right now.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (h *httpServer) stop() error {
	if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := h.cmd.Wait(); err != nil {
		return fmt.Errorf("%w\n%.2000s", err, h.stderr.String())
	}
	return nil
}

// httpAgent is a session of streamable HTTP.
type httpAgent struct {
	client  *http.Client
	url     string
	session string
	answer  bytes.Buffer
}

// send posts one message and gives the answer, which is good until the next.
func (a *httpAgent) send(ctx context.Context, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	if a.session != "" {
		r.Header.Set("Mcp-Session-Id", a.session)
		r.Header.Set("Mcp-Protocol-Version", "2025-06-18")
	}
	resp, err := a.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	a.answer.Reset()
	if _, err := io.Copy(&a.answer, resp.Body); err != nil {
		return nil, err
	}
	if id := resp.Header.Get("Mcp-Session-Id"); a.session == "" {
		a.session = id
	}
	b := a.answer.Bytes()
	if resp.StatusCode >= 300 || bytes.Contains(b, []byte(`"isError":true`)) || bytes.Contains(b, []byte(`"error":{`)) {
		return nil, fmt.Errorf("%s: %.300s", resp.Status, b)
	}
	return b, nil
}

// agents opens sessions.
func agents(ctx context.Context, client *http.Client, url string, n int) ([]*httpAgent, error) {
	all := make([]*httpAgent, n)
	_, err := spread(min(n, connections), n, func(_, i int) error {
		all[i] = &httpAgent{client: client, url: url}
		if _, err := all[i].send(ctx, []byte(initialize)); err != nil {
			return err
		}
		_, err := all[i].send(ctx, []byte(`{"jsonrpc":"2.0","method":"notifications/initialized"}`))
		return err
	})
	return all, err
}

// toolCall writes a message that calls a tool.
func toolCall(tool string, arguments map[string]any) []byte {
	b, err := json.Marshal(map[string]any{
		"jsonrpc": "2.0", "id": 1, "method": "tools/call",
		"params": map[string]any{"name": tool, "arguments": arguments},
	})
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return b
}

// claimURL finds the claim URL in the answer to a send.
func claimURL(answer []byte) (string, error) {
	_, rest, _ := bytes.Cut(answer, []byte(`"claim_url":"`))
	url, _, ok := bytes.Cut(rest, []byte(`"`))
	if !ok {
		return "", fmt.Errorf("no claim URL in %.300s", answer)
	}
	return string(url), nil
}

// mcpCalls: tool calls over streamable HTTP beside an echo of the same size
// that mcp-go serves with its defaults.
func (s *suite) mcpCalls() error {
	k, err := s.serveHTTP()
	if err != nil {
		return err
	}
	rows, err := s.compareCalls(s.ctx, k.url+"/mcp")
	if err := errors.Join(err, k.stop()); err != nil {
		return err
	}
	s.rows = append(s.rows, rows...)
	return nil
}

func (s *suite) compareCalls(ctx context.Context, url string) ([]row, error) {
	echoURL, stop, err := s.startEcho("mcp-http-echo")
	if err != nil {
		return nil, err
	}
	defer stop()
	transport := &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	ours, err := agents(ctx, client, url, connections)
	if err != nil {
		return nil, err
	}
	bare, err := agents(ctx, client, echoURL, connections)
	if err != nil {
		return nil, err
	}
	text := strings.Repeat("0123456789abcdef", 64)
	call := func(of []*httpAgent, body []byte, want string) func(worker, i int) error {
		return func(worker, _ int) error {
			b, err := of[worker].send(ctx, body)
			if err == nil && !bytes.Contains(b, []byte(want)) {
				err = fmt.Errorf("no %.20s in %.300s", want, b)
			}
			return err
		}
	}
	sendOnce := toolCall("send", map[string]any{"content": text, "max_retrievals": 1})
	pair := func(worker, _ int) error {
		b, err := ours[worker].send(ctx, sendOnce)
		if err != nil {
			return err
		}
		url, err := claimURL(b)
		if err != nil {
			return err
		}
		return call(ours, toolCall("claim", map[string]any{"claim_url": url}), text)(worker, 0)
	}
	b, err := ours[0].send(ctx, toolCall("send", map[string]any{"content": text}))
	if err != nil {
		return nil, err
	}
	lasting, err := claimURL(b)
	if err != nil {
		return nil, err
	}
	var echo, inspect, pairs []float64
	for i := range s.rounds + 1 {
		e, err := spread(connections, calls, call(bare, toolCall("echo", map[string]any{"message": text}), text))
		if err != nil {
			return nil, err
		}
		n, err := spread(connections, calls, call(ours, toolCall("inspect", map[string]any{"claim_url": lasting}), `"active"`))
		if err != nil {
			return nil, err
		}
		p, err := spread(connections, calls/2, pair)
		if err != nil {
			return nil, err
		}
		if i > 0 { // the first one warms up
			echo, inspect, pairs = append(echo, e), append(inspect, n), append(pairs, 2*p)
		}
	}
	base := fmt.Sprintf("mcp-go echo of 1 KB %.0f/s", median(echo))
	against := func(what string, rate []float64, target string) row {
		return row{what, fmt.Sprintf("%.0f/s", median(rate)), base, ratio(median(rate), median(echo)), target}
	}
	return []row{
		against("streamable HTTP: calls of inspect, 32 connections", inspect, "0.6"),
		against("streamable HTTP: calls of send and claim, 1 KB, durable, 32 connections", pairs, "0.25"),
	}, nil
}
