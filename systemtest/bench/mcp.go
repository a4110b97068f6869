//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
)

const (
	connections = 32
	calls       = 2000 // a round over streamable HTTP
)

// serveHTTP starts a kubbi-mcp that serves MCP over HTTP with a fresh data
// directory, as it does by default, with a log line for each call, and gives
// its origin.
func (s *suite) serveHTTP(b build) (url string, p *process, err error) {
	h, err := s.home("mcp")
	if err != nil {
		return "", nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(s.ctx, b.path, "serve", "--transport", "http", "--addr", addr, "--max-inline", "1073741824", "--relay-url", h.url)
	cmd.Env = append(os.Environ(), "KUBBI_DATA_DIR="+h.data, "KUBBI_API_KEY=", "KUBBI_BASE_URL=", "KUBBI_MCP_TOKEN=", "KUBBI_MCP_TOKEN_FILE=")
	if p, err = s.launch(cmd); err != nil {
		return "", nil, err
	}
	url = "http://" + addr
	return url, p, s.await("kubbi-mcp", func() error {
		_, err := do(s.ctx, http.DefaultClient, request{http.MethodGet, url + "/healthz", nil, ""})
		return err
	})
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

// mcpCalls: tool calls over streamable HTTP beside an echo of the same size
// that mcp-go serves with its defaults.
func (s *suite) mcpCalls() error {
	echoURL, _, err := s.startRole("mcp-http-echo")
	if err != nil {
		return err
	}
	client := pool(connections)
	defer client.CloseIdleConnections()
	bare, err := agents(s.ctx, client, echoURL, connections)
	if err != nil {
		return err
	}
	text := hex(1 << 10)
	var ours []*caller
	for _, b := range s.builds {
		url, _, err := s.serveHTTP(b)
		if err != nil {
			return err
		}
		c := &caller{text: text}
		client := pool(connections)
		defer client.CloseIdleConnections()
		if c.agents, err = agents(s.ctx, client, url+"/mcp", connections); err != nil {
			return err
		}
		if c.lasting, err = c.send(s.ctx, 0, nil); err != nil {
			return err
		}
		ours = append(ours, c)
	}
	var echo series
	inspect, pairs := make([]series, len(ours)), make([]series, len(ours))
	message := toolCall(1, "echo", map[string]any{"message": text})
	for round := range s.rounds + 1 { // the first one warms up
		for _, i := range order(len(ours)+1, round) {
			if i == len(ours) {
				e, err := spread(connections, calls, func(w, _ int) error { return holds(text)(bare[w].send(s.ctx, message)) })
				if err != nil {
					return err
				}
				echo = append(echo, e)
				continue
			}
			n, err := spread(connections, calls, func(w, _ int) error { return ours[i].inspect(s.ctx, w) })
			if err != nil {
				return err
			}
			p, err := spread(connections, calls/2, func(w, _ int) error { return ours[i].pair(s.ctx, w) })
			if err != nil {
				return err
			}
			inspect[i], pairs[i] = append(inspect[i], n), append(pairs[i], 2*p)
		}
		if round == 0 {
			echo = nil
			clear(inspect)
			clear(pairs)
		}
	}
	base := anchor{"mcp-go, echo of 1 KB", echo}
	s.add("streamable HTTP: calls of inspect, 32 connections", "0.6", perSecond, base, inspect...)
	s.add("streamable HTTP: calls of send and claim, 1 KB, durable, 32 connections", "0.25", perSecond, base, pairs...)
	return nil
}

// caller is a kubbi-mcp over HTTP, with sessions.
type caller struct {
	agents        []*httpAgent
	text, lasting string // lasting is the claim URL of a kubbi that stays
}

// send sends the text from a session, and gives the claim URL.
func (c *caller) send(ctx context.Context, worker int, maxRetrievals any) (string, error) {
	b, err := c.agents[worker].send(ctx, toolCall(1, "send", map[string]any{"content": c.text, "max_retrievals": maxRetrievals}))
	if err != nil {
		return "", err
	}
	url := member(b, "claim_url")
	if url == "" {
		err = fmt.Errorf("no claim URL in %.300s", b)
	}
	return url, err
}

func (c *caller) inspect(ctx context.Context, worker int) error {
	return holds(`"active"`)(c.agents[worker].send(ctx, toolCall(1, "inspect", map[string]any{"claim_url": c.lasting})))
}

// pair sends the text, and claims it.
func (c *caller) pair(ctx context.Context, worker int) error {
	url, err := c.send(ctx, worker, 1)
	if err != nil {
		return err
	}
	return holds(c.text)(c.agents[worker].send(ctx, toolCall(1, "claim", map[string]any{"claim_url": url})))
}

// holds returns an error if an answer does not have a text.
func holds(text string) func([]byte, error) error {
	return func(answer []byte, err error) error {
		if err == nil && !bytes.Contains(answer, []byte(text)) {
			err = fmt.Errorf("no %.20s in %.300s", text, answer)
		}
		return err
	}
}
