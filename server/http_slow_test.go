package server

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// slow are limits with times that a test can wait for.
func slow() HTTPLimits {
	return HTTPLimits{
		HeaderTimeout: 300 * time.Millisecond, StallTimeout: 400 * time.Millisecond, IdleTimeout: 300 * time.Millisecond,
		Heartbeat: 100 * time.Millisecond, MaxSessions: 1,
	}
}

// TestHTTPSlowRequests sends requests that never become complete.
func TestHTTPSlowRequests(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	s := newHost(t, HTTPConfig{Limits: slow()})
	addr := strings.TrimPrefix(s.url, "http://")
	post := "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	for name, tt := range map[string]struct {
		start string // what is sent at once
		drip  string // what is sent over and over, a little at a time
		want  string // how the answer begins
	}{
		"nothing":              {},
		"half a request line":  {start: "POST /m"},
		"half the headers":     {start: post},
		"dripping headers":     {start: post, drip: "X-A: b\r\n"},
		"no body":              {start: post + "Content-Length: 100\r\n\r\n", want: "HTTP/1.1 408 "},
		"half a body":          {start: post + "Content-Length: 100\r\n\r\n{\"jsonrpc\"", want: "HTTP/1.1 408 "},
		"a dripping body":      {start: post + "Content-Length: 1000\r\n\r\n", drip: " ", want: "HTTP/1.1 408 "},
		"refused, no body":     {start: "POST /mcp HTTP/1.1\r\nHost: evil\r\nContent-Length: 100\r\n\r\n", want: "HTTP/1.1 403 "},
		"refused, dripping":    {start: "POST /none HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n", drip: " ", want: "HTTP/1.1 404 "},
		"a stream with a body": {start: "GET /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n", want: "HTTP/1.1 400 "},
		"a dripping chunk":     {start: post + "Transfer-Encoding: chunked\r\n\r\n", drip: "1\r\n \r\n", want: "HTTP/1.1 408 "},
		"a kept connection":    {start: "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", want: "HTTP/1.1 200 "},
		"half a second of two": {start: "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /heal", want: "HTTP/1.1 200 "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(patience))
			if _, err := io.WriteString(conn, tt.start); err != nil {
				t.Fatal(err)
			}
			stop := make(chan struct{})
			dripping := make(chan struct{})
			go func() {
				defer close(dripping)
				for tt.drip != "" {
					select {
					case <-stop:
						return
					case <-time.After(50 * time.Millisecond):
					}
					if _, err := io.WriteString(conn, tt.drip); err != nil {
						return
					}
				}
			}()
			answer, err := io.ReadAll(conn) // until the server has had enough
			close(stop)
			<-dripping
			if nerr, ok := err.(net.Error); ok && nerr.Timeout() {
				t.Error("the server waits for ever")
			}
			if tt.want != "" && !strings.HasPrefix(string(answer), tt.want) {
				t.Errorf("answer %q, %v", answer, err)
			}
		})
	}
}

// TestHTTPStreamNotRead opens streams and does not read them, until the server can't write any
// more.
func TestHTTPStreamNotRead(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	s := newHost(t, HTTPConfig{Limits: slow()})
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	fmt.Fprint(conn, "GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n")
	r := bufio.NewReaderSize(conn, 16)
	endpoint := ""
	for endpoint == "" {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			endpoint = strings.TrimSpace(data)
		}
	}
	// Each answer repeats what was sent, until the socket is full.
	for id := 1; ; id++ {
		status, answer := s.ask(t, http.MethodPost, endpoint, "", fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/list"}`, id))
		if status == http.StatusNotFound || status == http.StatusTooManyRequests {
			break // dropped, or too many of them wait
		}
		if status != http.StatusAccepted {
			t.Fatalf("%d: %s", status, answer)
		}
	}
	// The one session that is allowed is free again after the server has dropped the client.
	deadline := time.Now().Add(patience)
	for {
		ctx, cancel := context.WithCancel(t.Context())
		resp, err := s.do(ctx, http.MethodGet, "/sse", "", "")
		if err != nil {
			t.Fatal(err)
		}
		status := resp.StatusCode
		cancel()
		resp.Body.Close()
		if status == http.StatusOK {
			break
		}
		if status != http.StatusTooManyRequests || time.Now().After(deadline) {
			t.Fatalf("a new session: %d", status)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// TestHTTPLongCall makes a call and opens a quiet stream that last longer than the stall
// timeout, over TLS with the protocol that the client prefers.
func TestHTTPLongCall(t *testing.T) {
	w := newWaiting()
	limits := slow()
	limits.Heartbeat = 350 * time.Millisecond // nearly the stall timeout
	s := newHost(t, HTTPConfig{Limits: limits, Server: Config{Add: w.add}, Certificate: selfSigned(t)})
	s.url = "https" + strings.TrimPrefix(s.url, "http")
	s.hc = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	id := s.session(t)
	resp := s.open(t.Context(), t, http.MethodGet, "/mcp", id, "")
	if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 {
		t.Fatal(resp.Proto, resp.Status)
	}
	lost := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, resp.Body)
		lost <- err
	}()
	answered := make(chan string, 1)
	go func() {
		_, answer := s.ask(t, http.MethodPost, "/mcp", id, callOf(1, "wait", "{}"))
		answered <- answer
	}()
	<-w.began
	select {
	case err := <-lost:
		t.Fatalf("the stream has ended: %v", err)
	case <-time.After(4 * limits.StallTimeout):
	}
	close(w.goOn)
	if answer := <-answered; !strings.Contains(answer, "waited") {
		t.Errorf("a long call: %s", answer)
	}
}

func selfSigned(t *testing.T) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, nil }
}

// TestHTTPRequestBytesLimit lets one caller send large requests slowly, while another caller
// sends one fast.
func TestHTTPRequestBytesLimit(t *testing.T) {
	var tokens []Token
	for _, name := range []string{"alice", "bob"} {
		token, err := NewToken(name, name+"-0123456789abcdef", "")
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, token)
	}
	const size = 1 << 20
	s := newHost(t, HTTPConfig{Tokens: tokens, Limits: HTTPLimits{MaxBody: size, MaxTotalBytes: 4 * size}})
	begin := func(name string) net.Conn {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(patience))
		fmt.Fprintf(conn, "POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s-0123456789abcdef\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", name, size)
		fmt.Fprint(conn, strings.Repeat(" ", size-1000))
		return conn
	}
	begin("alice")
	until(t, func() bool { _, held, _ := s.h.http.State(); return held > size })
	status := func(conn net.Conn) int {
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := status(begin("alice")); got != http.StatusTooManyRequests {
		t.Errorf("alice's second: %d", got)
	}
	bob := begin("bob")
	fmt.Fprint(bob, strings.Repeat(" ", 1000))
	if got := status(bob); got != http.StatusBadRequest { // blanks are no message, but the server has read all of them
		t.Errorf("bob's: %d", got)
	}
}
