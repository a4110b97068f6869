package service

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/relay"
)

// TestConnectionsOfAnAddress has an address that opens as many connections as it can and
// sends nothing. It does not keep others out. A trusted proxy has no limit of its own.
func TestConnectionsOfAnAddress(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs more than one loopback address")
	}
	const most = 40
	for name, tc := range map[string]struct {
		proxies []string
		open    int // from the one address, at the end
	}{
		"a client": {nil, most / 4}, "a trusted proxy": {[]string{"127.0.0.1"}, most},
	} {
		t.Run(name, func(t *testing.T) {
			proxies, err := relay.ParsePrefixes(tc.proxies)
			if err != nil {
				t.Fatal(err)
			}
			s := serve(t, func(c *Config) { c.Limits.Connections, c.Relay.TrustedProxies = most, proxies })
			dial := func(from string) net.Conn {
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
				c, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
				_ = c.SetDeadline(time.Now().Add(patience))
				return c
			}
			served := func(c net.Conn) bool {
				if _, err := io.WriteString(c, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
					return false
				}
				resp, err := http.ReadResponse(bufio.NewReader(c), nil)
				return err == nil && resp.StatusCode == 200
			}
			var all []net.Conn
			for range most + 10 {
				c := dial("127.0.0.1")
				if _, err := io.WriteString(c, "GET /livez HT"); err != nil && !strings.Contains(err.Error(), "reset") && !strings.Contains(err.Error(), "broken pipe") {
					t.Fatal(err)
				}
				all = append(all, c)
			}
			if tc.proxies == nil && !served(dial("127.0.0.2")) {
				t.Error("another address is shut out")
			}
			open := 0
			for _, c := range all {
				_, err := io.WriteString(c, "TP/1.1\r\nHost: x\r\n\r\n")
				if err == nil {
					_, err = http.ReadResponse(bufio.NewReader(c), nil)
				}
				if err == nil {
					open++
				}
			}
			if open != tc.open {
				t.Errorf("the address has %d connections, want %d", open, tc.open)
			}
			for _, c := range all {
				c.Close()
			}
			testkit.Await(t, "the address is served again", func() bool { return served(dial("127.0.0.1")) })
		})
	}
}

func TestShares(t *testing.T) {
	for connections, want := range map[int]int{1: 1, 2: 1, 8: 7, 16: 8, 40: 10, 4096: 1024} {
		if got := (Limits{Connections: connections}).withDefaults().PerAddress; got != want {
			t.Errorf("of %d connections an address has %d, want %d", connections, got, want)
		}
	}
}

// TestRequestsOfAnAddress has an address whose requests stand still. It does not use up all
// running requests, whether it comes directly or through a trusted proxy.
func TestRequestsOfAnAddress(t *testing.T) {
	const most, key = 40, "k-0123456789abcdefghijklmn"
	proxies, err := relay.ParsePrefixes([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, func(c *Config) { c.Limits.Requests, c.Relay.TrustedProxies = most, proxies })
	// send sends the form of a claim page without the end of its body.
	send := func(client string) (*bufio.Reader, net.Conn) {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(c, "POST /r/"+strings.Repeat("A", 43)+"/claim HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: "+client+
			"\r\nAccept: text/html\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: "+strconv.Itoa(len("key="+key))+"\r\n\r\nkey="); err != nil {
			t.Fatal(err)
		}
		return bufio.NewReader(c), c
	}
	for range most / 4 {
		send("192.0.2.1")
	}
	testkit.Await(t, "they run", func() bool { return len(s.running) == most/4 })
	for client, want := range map[string]int{"192.0.2.1": 503, "192.0.2.2": 404} {
		r, c := send(client)
		if _, err := io.WriteString(c, key); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != want {
			t.Errorf("%s: %v, %v; want %d", client, resp, err, want)
		}
	}
}
