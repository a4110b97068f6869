package server

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"testing"
	"time"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/relay/relaytest"
	"kubbi-mcp/tools"
)

// patience is how long a test waits for something that must happen.
const patience = 60 * time.Second

// peer is the client's end of a server that serves stdio over pipes.
type peer struct {
	stdin  *io.PipeWriter
	lines  chan []byte // what the server writes
	done   chan error  // ServeStdio's result
	cancel context.CancelFunc
	ended  bool
}

func newPeer(t testing.TB, cfg Config) *peer {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return connect(t, s)
}

// connect serves s to a new peer until the test ends.
func connect(t testing.TB, s *Server) *peer {
	t.Helper()
	stdin, in := io.Pipe()
	out, stdout := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	p := &peer{stdin: in, lines: make(chan []byte, 1000), done: make(chan error, 1), cancel: cancel}
	go func() {
		p.done <- s.ServeStdio(ctx, stdin, stdout)
		stdout.Close()
	}()
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(p.lines)
		r := bufio.NewReaderSize(out, 1<<20)
		for {
			line, err := r.ReadBytes('\n')
			if err != nil {
				if len(line) > 0 {
					p.lines <- line // without its end: a test will say so
				}
				return
			}
			p.lines <- line
		}
	}()
	t.Cleanup(func() {
		cancel()
		in.Close()
		if !p.ended {
			p.wait(t)
		}
		out.Close()
		<-read
	})
	return p
}

// newClient gives a client of a new relay, and the relay.
func newClient(t testing.TB, opts ...kubbi.Option) (*kubbi.Client, *relaytest.Server) {
	t.Helper()
	relay := relaytest.New(t)
	c, err := kubbi.NewClient(relay.APIKey, append([]kubbi.Option{kubbi.WithBaseURL(relay.URL), kubbi.WithRetries(0)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, relay
}

func (p *peer) send(t testing.TB, line string) {
	t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		t.Fatalf("send: %v", err)
	}
}

func (p *peer) receive(t testing.TB) []byte {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case line, ok := <-p.lines:
		if !ok {
			t.Fatal("the server has ended its output")
		}
		if line[len(line)-1] != '\n' {
			t.Fatalf("the server has cut its output short: %.200s", line)
		}
		return line
	case <-timer.C:
		t.Fatal("no answer")
		return nil
	}
}

const initialize = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}`

func (p *peer) handshake(t testing.TB) {
	t.Helper()
	p.send(t, initialize)
	p.receive(t)
	p.send(t, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
}

// call calls a tool and waits for its result.
func (p *peer) call(t testing.TB, tool, args string) result {
	t.Helper()
	p.send(t, `{"jsonrpc":"2.0","id":"call","method":"tools/call","params":{"name":"`+tool+`","arguments":`+args+`}}`)
	return parseResult(t, p.receive(t))
}

// result is a tool result as a client sees it.
type result struct {
	ID     json.RawMessage
	Error  *struct{ Code int }
	Result struct {
		Content []struct {
			Type, Text, Data, MIMEType string
			Resource                   struct{ URI, MIMEType, Blob string }
		}
		StructuredContent map[string]any
		IsError           bool
	}
}

// payload is the payload in a claim's result, which has one block.
func (r result) payload(t testing.TB) string {
	t.Helper()
	if len(r.Result.Content) != 1 || r.Result.StructuredContent != nil {
		t.Fatalf("a claim's result has other parts than a block: %.500v", r.Result)
	}
	_, payload, shown := tools.ReadClaim(r.Result.Content[0].Text)
	if !shown {
		t.Fatalf("a claim shows no payload: %.500v", r.Result)
	}
	return payload
}

func parseResult(t testing.TB, line []byte) result {
	t.Helper()
	var r result
	if err := json.Unmarshal(line, &r); err != nil {
		t.Fatalf("answer %.200q: %v", line, err)
	}
	return r
}

// hangUp closes stdin and expects a clean end with nothing more on stdout.
func (p *peer) hangUp(t testing.TB) {
	t.Helper()
	p.stdin.Close()
	p.wait(t)
	for line := range p.lines {
		t.Errorf("unasked for: %.500s", line)
	}
}

func (p *peer) wait(t testing.TB) {
	t.Helper()
	p.ended = true
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-p.done:
		if err != nil {
			t.Errorf("ServeStdio: %v", err)
		}
	case <-timer.C:
		t.Error("ServeStdio does not return")
	}
}

// unusedOrigin gives an origin where nothing listens.
func unusedOrigin(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return "http://" + ln.Addr().String()
}
