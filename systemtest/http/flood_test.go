package http

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
)

// reset closes a connection with RST.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	conn.Close()
}

// silent opens connections that send nothing more.
func (s *httpServer) silent(t *testing.T) []net.Conn {
	t.Helper()
	var conns []net.Conn
	for text, n := range map[string]int{
		"":          700,
		"POST /mcp": 100,
		"POST /mcp HTTP/1.1\r\nHost: localhost\r\nX-A: ":                                                                    100,
		"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"jsonrpc": 100,
		"POST /none HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n":                                            50,
		"GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n":                                                                      50,
	} {
		for range n {
			conn := s.dial(t)
			if _, err := fmt.Fprint(conn, text); err != nil {
				t.Fatal(err)
			}
			conns = append(conns, conn)
		}
	}
	return conns
}

// TestSilence opens a thousand connections that send nothing, or half a request.
func TestSilence(t *testing.T) {
	t.Parallel()
	s := startHTTP(t)
	before := s.baseline(t, nil)
	conns := s.silent(t)
	// Not all: the server closes some while others are opened.
	testkit.Await(t, "so many connections", func() bool { return s.descriptors() >= before.descriptors+len(conns)/2 || s.descriptors() == 0 })
	s.serves(t, nil)
	for i, conn := range conns {
		if i%2 == 0 {
			reset(conn)
		} else {
			conn.Close()
		}
	}
	s.recovers(t, before, nil)
}

// TestVanished has clients disappear while they have calls and streams.
func TestVanished(t *testing.T) {
	t.Parallel()
	api := newStandstill(t)
	s := startHTTP(t, "--base-url", api.URL, "--auth-token-file", tokenFile(t, "alice "+aliceToken+" kb_of_alice"))
	before := s.baseline(t, bearer(aliceToken))
	const n = 20
	for i := range 3 * n {
		dialer := &net.Dialer{}
		var conns []net.Conn
		hc := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			conns = append(conns, conn)
			return conn, err
		}}}
		transport := overHTTP
		if i >= 2*n {
			transport = overSSE
		}
		p := newPeer(s.url, transport, bearer(aliceToken), hc)
		if err := p.open(t.Context()); err != nil {
			t.Fatal(err)
		}
		if i >= n && transport == overHTTP {
			if err := p.listen(t.Context(), "/mcp"); err != nil {
				t.Fatal(err)
			}
		}
		body := []byte(`{"jsonrpc":"2.0","id":99,"method":"tools/call","params":{"name":"list","arguments":{}}}`)
		called := make(chan struct{})
		go func() {
			defer close(called)
			_, _ = p.post(t.Context(), body) // it never hears of that
		}()
		testkit.Await(t, "a running call", func() bool { return api.running.Load() > 0 })
		if i%2 == 0 {
			for _, conn := range conns {
				reset(conn)
			}
		}
		p.end()
		hc.CloseIdleConnections()
		for _, conn := range conns {
			reset(conn)
		}
		<-called
		testkit.Await(t, "the call's end", func() bool { return api.running.Load() == 0 })
	}
	api.CloseClientConnections()
	s.recovers(t, before, bearer(aliceToken))
}

// TestUnread has a client claim over SSE and read nothing of the answer.
func TestUnread(t *testing.T) {
	t.Parallel()
	s := startHTTP(t, "--max-inline", "1048576", "--auth-token-file", tokenFile(t, "alice "+aliceToken, "bob "+bobToken))
	before := s.baseline(t, bearer(bobToken))
	sent := s.connect(t, overHTTP, bearer(aliceToken))
	url := sent.mustCall(t, "send", map[string]any{"content": strings.Repeat("0123456789abcdef", 1<<14)}).Field("claim_url")
	sent.close()
	conn := s.dial(t)
	_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	fmt.Fprint(conn, "GET /sse HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "+aliceToken+"\r\n\r\n")
	endpoint := ""
	for r := bufio.NewReaderSize(conn, 16); endpoint == ""; {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			endpoint = strings.TrimSpace(data)
		}
	}
	refused := 0
	for id := range 300 {
		resp, body := s.request(t, http.MethodPost, endpoint, bearer(aliceToken), fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"claim","arguments":{"claim_url":%q}}}`, id, url))
		switch resp.StatusCode {
		case http.StatusAccepted:
		case http.StatusTooManyRequests:
			refused++
		default:
			t.Fatalf("%s: %s", resp.Status, body)
		}
	}
	if refused == 0 {
		t.Error("answers pile up without end")
	}
	s.serves(t, bearer(bobToken))
	reset(conn)
	s.recovers(t, before, bearer(bobToken))
	s.serves(t, bearer(aliceToken))
}

// TestStopped stops a server while its clients stay connected in every way.
func TestStopped(t *testing.T) {
	t.Parallel()
	api := newStandstill(t)
	s := startHTTP(t, "--base-url", api.URL, "--auth-token-file", tokenFile(t, "alice "+aliceToken+" kb_of_alice"), "--drain", "500ms")
	s.silent(t)
	for _, transport := range []string{overHTTP, overSSE} {
		p := s.connect(t, transport, bearer(aliceToken))
		if transport == overHTTP {
			if err := p.listen(t.Context(), "/mcp"); err != nil {
				t.Fatal(err)
			}
		}
		go func() { _, _ = p.call(t.Context(), "list", map[string]any{}) }()
	}
	testkit.Await(t, "running calls", func() bool { return api.running.Load() == 2 })
	s.stop(t)
	if !strings.Contains(s.log.String(), "cancelled") {
		t.Errorf("no word of the calls that were cut short:\n%s", s.log)
	}
}
