package service

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
)

// TestTooManyRequests sends more requests than the limit. They are refused in a way that
// clients know, and served again when there is room.
func TestTooManyRequests(t *testing.T) {
	s := serve(t, func(c *Config) { c.Limits.Requests = 1 })
	body, begun, finish := slowBody()
	defer finish()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if resp, err := s.send("POST", s.url+api.PathKubbis, body); err == nil {
			resp.Body.Close()
		}
	}()
	<-begun
	testkit.Await(t, "the request runs", func() bool { return len(s.running) == 1 })
	resp, err := s.send("GET", s.url+api.PathKubbis, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "1" {
		t.Errorf("above the limit: %s %v", resp.Status, resp.Header)
	}
	for _, probe := range []string{"/livez", "/readyz"} { // or it would be restarted for being busy
		if status, text := s.call("GET", s.url+probe, ""); status != 200 {
			t.Errorf("%s above the limit: %d %s", probe, status, text)
		}
	}
	finish()
	<-done
	if status, _ := s.call("GET", s.url+api.PathKubbis, ""); status != 200 {
		t.Errorf("after that: %d", status)
	}
}

// TestTooManyConnections opens more connections than the limit. They are closed, and
// accepted again when one has ended.
func TestTooManyConnections(t *testing.T) {
	s := serve(t, func(c *Config) { c.Limits.Connections, c.Limits.PerAddress = 2, 2 })
	dial := func() net.Conn {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	served := func(c net.Conn) bool {
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(c, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return false
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		return err == nil && resp.StatusCode == 200
	}
	first, second := dial(), dial()
	if !served(first) || !served(second) {
		t.Fatal("not served below the limit")
	}
	if served(dial()) {
		t.Error("served above the limit")
	}
	first.Close()
	testkit.Await(t, "served again", func() bool { return served(dial()) })
}

// TestSlowClients checks that a connection is ended if it stands still, and not if it is
// slow and moves, whatever the size of its request.
func TestSlowClients(t *testing.T) {
	const stall, rate = 600 * time.Millisecond, 20_000
	s := serve(t, func(c *Config) { c.Limits.Header, c.Limits.Stall, c.Limits.MinRate = stall, stall, rate })
	open := func(request string) net.Conn {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		return c
	}
	post := func(length int) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", api.PathKubbis, s.key, length)
	}
	for name, request := range map[string]string{
		"in its headers":         "POST / HTTP/1.1\r\nHost:",
		"before its body":        post(1000),
		"in its body":            post(1000) + `{"content":`,
		"after much of its body": post(2_000_000) + `{"content":"` + strings.Repeat("x", 1_000_000),
	} {
		c := open(request)
		// With a refusal or without.
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("one that stands still %s is not cut off", name)
		}
	}

	// A client that moves too slowly gets an answer that says so.
	trickle := open(post(100_000) + `{"content":"`)
	refused := make(chan error, 1)
	go func() {
		resp, err := http.ReadResponse(bufio.NewReader(trickle), nil)
		if err == nil && resp.StatusCode != http.StatusBadRequest {
			err = errors.New(resp.Status)
		}
		refused <- err
	}()
	for waiting := true; waiting; {
		select {
		case err := <-refused:
			waiting = false
			if err != nil {
				t.Errorf("one that trickles: %v", err)
			}
		case <-time.After(stall / 6):
			_, _ = io.WriteString(trickle, "x")
		}
	}

	// Together it takes several times as long as standing still may.
	body := strings.Replace(small, "p4yload", strings.Repeat("x", 150_000), 1)
	c := open(post(len(body)))
	for piece := []byte(body); len(piece) > 0; {
		n := min(len(piece), 4_000)
		if _, err := c.Write(piece[:n]); err != nil {
			t.Fatalf("one that is slow was cut off: %v", err)
		}
		piece = piece[n:]
		time.Sleep(50 * time.Millisecond)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusCreated {
		t.Errorf("one that is slow: %s %s", resp.Status, b)
	}
	// The connection can be used again, long after its deadlines.
	time.Sleep(2 * stall)
	if _, err := io.WriteString(c, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != 200 {
		t.Errorf("the same connection later: %v %v", resp, err)
	}
}

// TestSlowReader cuts off a client that does not read its answer.
func TestSlowReader(t *testing.T) {
	s := serve(t, func(c *Config) { c.Limits.Stall, c.Limits.MinRate = 200*time.Millisecond, 2<<20 })
	body := strings.Replace(small, "p4yload", strings.Repeat("x", 5<<20), 1)
	status, text := s.call("POST", s.url+api.PathKubbis, body)
	if status != http.StatusCreated {
		t.Fatalf("create: %d %s", status, text)
	}
	_, token, _ := strings.Cut(text, `"claim_token":"`)
	token, _, _ = strings.Cut(token, `"`)
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "POST /r/%s/claim HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", token); err != nil {
		t.Fatal(err)
	}
	testkit.Await(t, "the claim is cut off", func() bool {
		_, text := s.call("GET", s.metrics+"/metrics", "")
		return strings.Contains(text, `kubbi_relay_requests_total{operation="claim",outcome="aborted"} 1`)
	})
	_ = c.SetDeadline(time.Now().Add(patience))
	got, _ := io.ReadAll(c)
	if !bytes.HasPrefix(got, []byte("HTTP/1.1 200")) || len(got) > 5<<20 {
		t.Errorf("%d bytes came: %.20s", len(got), got)
	}
}
