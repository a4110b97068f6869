package http

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/tools"
)

// The transports of a peer.
const (
	overHTTP   = "streamable HTTP"
	overSSE    = "SSE"
	overModern = "streamable HTTP of 2026-07-28" // without sessions
)

// peer is a minimal client, so that a test sees what is on the wire.
type peer struct {
	url       string
	transport string
	header    http.Header // of every request
	hc        *http.Client
	session   string // Mcp-Session-Id
	endpoint  string // of SSE
	end       context.CancelFunc

	mu      sync.Mutex
	id      int
	waiting map[int]chan rpcReply // of SSE
	lost    error                 // why the stream of SSE has ended
	news    []string              // methods of notifications
}

type rpcReply struct {
	ID     int
	Method string
	Result json.RawMessage
	Error  *struct {
		Code    int
		Message string
	}
}

// statusError is an HTTP answer that is no MCP message.
type statusError struct {
	status int
	body   string
}

func (e *statusError) Error() string { return fmt.Sprintf("status %d: %.300s", e.status, e.body) }

// connect opens a session and closes it at the end of the test.
func (s *httpServer) connect(t *testing.T, transport string, header http.Header) *peer {
	t.Helper()
	p := newPeer(s.url, transport, header, &http.Client{Transport: &http.Transport{}})
	t.Cleanup(p.close)
	if err := p.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

func newPeer(url, transport string, header http.Header, hc *http.Client) *peer {
	return &peer{url: url, transport: transport, header: header, hc: hc, waiting: map[int]chan rpcReply{}, end: func() {}}
}

// open opens a session. Over SSE the session ends with ctx.
func (p *peer) open(ctx context.Context) error {
	p.session = ""
	if p.transport == overModern {
		_, err := p.ask(ctx, "tools/list", map[string]any{})
		return err
	}
	if p.transport == overSSE {
		if err := p.listen(ctx, "/sse"); err != nil {
			return err
		}
	}
	_, err := p.ask(ctx, "initialize", map[string]any{
		"protocolVersion": "2025-06-18", "capabilities": map[string]any{},
		"clientInfo": map[string]any{"name": "test", "version": "1"},
	})
	if err != nil {
		return err
	}
	return p.notify(ctx, "notifications/initialized", nil)
}

// close ends the streams and connections, but not the session.
func (p *peer) close() {
	p.end()
	p.hc.CloseIdleConnections()
}

// listen opens a stream, and returns when it is open. It reads the stream until ctx
// ends or close is called.
func (p *peer) listen(ctx context.Context, path string) error {
	ctx, cancel := context.WithCancel(ctx)
	resp, err := p.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		cancel()
		return err
	}
	done := make(chan struct{})
	p.end = func() { cancel(); <-done }
	endpoint := make(chan string, 1)
	go func() {
		defer close(done)
		defer resp.Body.Close()
		p.read(resp.Body, endpoint)
	}()
	if path != "/sse" {
		return nil
	}
	select {
	case p.endpoint = <-endpoint:
		return nil
	case <-done:
		return errors.New("the stream has ended before it began")
	}
}

// read reads the events of a stream.
func (p *peer) read(stream io.Reader, endpoint chan<- string) {
	lines := bufio.NewReader(stream)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.lost = fmt.Errorf("the stream has ended: %w", err)
			for id, c := range p.waiting {
				close(c)
				delete(p.waiting, id)
			}
			return
		}
		data, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "data: ")
		if !ok {
			continue
		}
		if strings.HasPrefix(data, "/") {
			endpoint <- data
			continue
		}
		var r rpcReply
		if json.Unmarshal([]byte(data), &r) != nil {
			continue
		}
		p.mu.Lock()
		if r.Method != "" {
			p.news = append(p.news, r.Method)
		} else if c := p.waiting[r.ID]; c != nil {
			delete(p.waiting, r.ID)
			c <- r
		}
		p.mu.Unlock()
	}
}

// heard counts the notifications of a method.
func (p *peer) heard(method string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, m := range p.news {
		if m == method {
			n++
		}
	}
	return n
}

// do makes a request. An answer without success is a statusError.
func (p *peer) do(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, p.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range p.header {
		req.Header[name] = values
	}
	req.Header.Set("Accept", "application/json, text/event-stream")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if p.session != "" {
		req.Header.Set("Mcp-Session-Id", p.session)
	}
	if p.transport == overModern {
		setModern(req.Header, body)
	}
	resp, err := p.hc.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close()
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
		return nil, &statusError{resp.StatusCode, string(b)}
	}
	return resp, nil
}

const modernVersion = "2026-07-28"

// withModern adds the metadata of a request of that version.
func withModern(params any) any {
	with := map[string]any{}
	if given, ok := params.(map[string]any); ok {
		maps.Copy(with, given)
	}
	if with["_meta"] != nil {
		return with
	}
	with["_meta"] = map[string]any{"io.modelcontextprotocol/protocolVersion": modernVersion, "io.modelcontextprotocol/clientCapabilities": map[string]any{}}
	return with
}

// setModern sets the headers of a message of that version.
func setModern(h http.Header, message []byte) {
	var m struct {
		Method string
		Params struct{ Name, URI, TaskID string }
	}
	if json.Unmarshal(message, &m) != nil {
		return
	}
	h.Set("Mcp-Protocol-Version", modernVersion)
	h.Set("Mcp-Method", m.Method)
	if name := m.Params.Name + m.Params.URI + m.Params.TaskID; name != "" {
		h.Set("Mcp-Name", name)
	}
}

func (p *peer) notify(ctx context.Context, method string, params any) error {
	b, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "method": method, "params": params})
	if err != nil {
		return err
	}
	_, err = p.post(ctx, b)
	return err
}

// post sends a message and returns the body of the answer.
func (p *peer) post(ctx context.Context, message []byte) ([]byte, error) {
	path := "/mcp"
	if p.transport == overSSE {
		path = p.endpoint
	}
	resp, err := p.do(ctx, http.MethodPost, path, message)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if id := resp.Header.Get("Mcp-Session-Id"); id != "" && p.session == "" {
		p.session = id
	}
	return b, nil
}

// ask makes an MCP request and returns its result. A JSON-RPC error becomes a Go error.
func (p *peer) ask(ctx context.Context, method string, params any) (json.RawMessage, error) {
	p.mu.Lock()
	p.id++
	id := p.id
	p.mu.Unlock()
	if p.transport == overModern {
		params = withModern(params)
	}
	b, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": id, "method": method, "params": params})
	if err != nil {
		return nil, err
	}
	r, err := p.exchange(ctx, id, b)
	switch {
	case err != nil:
		return nil, err
	case r.Error != nil:
		return nil, fmt.Errorf("error %d: %s", r.Error.Code, r.Error.Message)
	}
	return r.Result, nil
}

func (p *peer) exchange(ctx context.Context, id int, message []byte) (rpcReply, error) {
	var r rpcReply
	if p.transport != overSSE {
		b, err := p.post(ctx, message)
		var status *statusError
		if p.transport == overModern && errors.As(err, &status) && status.status == http.StatusBadRequest {
			b, err = []byte(status.body), nil // an error of MCP, by that version's rules
		}
		if err != nil {
			return r, err
		}
		if err := json.Unmarshal(b, &r); err != nil {
			return r, fmt.Errorf("%w: %.300s", err, b)
		}
		return r, nil
	}
	c := make(chan rpcReply, 1)
	p.mu.Lock()
	lost := p.lost
	p.waiting[id] = c
	p.mu.Unlock()
	if lost != nil {
		return r, lost
	}
	if _, err := p.post(ctx, message); err != nil {
		return r, err
	}
	select {
	case r, ok := <-c:
		if !ok {
			p.mu.Lock()
			defer p.mu.Unlock()
			return r, p.lost
		}
		return r, nil
	case <-ctx.Done():
		return r, ctx.Err()
	}
}

// call calls a tool.
func (p *peer) call(ctx context.Context, tool string, arguments any) (*testkit.ToolResult, error) {
	b, err := p.ask(ctx, "tools/call", map[string]any{"name": tool, "arguments": arguments})
	if err != nil {
		return nil, err
	}
	var res testkit.ToolResult
	if err := json.Unmarshal(b, &res); err != nil {
		return nil, err
	}
	return &res, nil
}

func (p *peer) mustCall(t *testing.T, tool string, arguments any) *testkit.ToolResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	res, err := p.call(ctx, tool, arguments)
	if err != nil {
		t.Fatalf("%s: %v", tool, err)
	}
	return res
}

// payload is the payload in the result of a claim.
func payload(r *testkit.ToolResult) string {
	_, payload, _ := tools.ReadClaim(r.Text())
	return payload
}
