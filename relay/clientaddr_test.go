package relay_test

import (
	"net/http"
	"strings"
	"testing"

	"kubbi-mcp/relay"
)

func TestClientAddress(t *testing.T) {
	proxies, err := relay.ParsePrefixes([]string{"10.0.0.0/8", "192.0.2.1", "2001:db8:1::/48"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, peer, forwardedFor, forwarded, want string
	}{
		{name: "no proxy", peer: "198.51.100.7:1234", want: "198.51.100.7"},
		{name: "a stranger says", peer: "198.51.100.7:1234", forwardedFor: "203.0.113.1", want: "198.51.100.7"},
		{name: "a stranger says so otherwise", peer: "198.51.100.7:1234", forwarded: "for=203.0.113.1", want: "198.51.100.7"},
		{name: "the proxy itself", peer: "10.1.2.3:80", want: "10.1.2.3"},
		{name: "one proxy", peer: "10.1.2.3:80", forwardedFor: "203.0.113.1", want: "203.0.113.1"},
		{name: "one proxy, and what the client forged", peer: "10.1.2.3:80", forwardedFor: "203.0.113.99, 203.0.113.1", want: "203.0.113.1"},
		{name: "a client that poses as a proxy", peer: "10.1.2.3:80", forwardedFor: "203.0.113.99, 10.9.9.9, 203.0.113.1", want: "203.0.113.1"},
		{name: "two proxies", peer: "10.1.2.3:80", forwardedFor: "203.0.113.99, 203.0.113.1, 192.0.2.1", want: "203.0.113.1"},
		{name: "proxies alone", peer: "10.1.2.3:80", forwardedFor: "10.4.4.4, 192.0.2.1", want: "10.4.4.4"},
		{name: "several lines", peer: "10.1.2.3:80", forwardedFor: "203.0.113.99\n203.0.113.1", want: "203.0.113.1"},
		{name: "with a port", peer: "10.1.2.3:80", forwardedFor: "203.0.113.1:5555", want: "203.0.113.1"},
		{name: "IPv6", peer: "[2001:db8:1::5]:80", forwardedFor: "2001:db8:2::1", want: "2001:db8:2::1"},
		{name: "IPv6 with a port", peer: "10.1.2.3:80", forwardedFor: "[2001:db8:2::1]:443", want: "2001:db8:2::1"},
		{name: "IPv6 with a zone", peer: "[fe80::1%eth0]:80", want: "fe80::1"},
		{name: "IPv4 in IPv6", peer: "[::ffff:10.1.2.3]:80", forwardedFor: "::ffff:203.0.113.1", want: "203.0.113.1"},
		{name: "nonsense", peer: "10.1.2.3:80", forwardedFor: "203.0.113.99, unknown", want: "10.1.2.3"},
		{name: "nothing", peer: "10.1.2.3:80", forwardedFor: "203.0.113.99,", want: "10.1.2.3"},
		{name: "nonsense beyond a proxy", peer: "10.1.2.3:80", forwardedFor: "unknown, 192.0.2.1", want: "192.0.2.1"},
		{name: "Forwarded", peer: "10.1.2.3:80", forwarded: `for=203.0.113.99, For="203.0.113.1:80";proto=https;by=10.0.0.1`, want: "203.0.113.1"},
		{name: "Forwarded, IPv6", peer: "10.1.2.3:80", forwarded: `proto=https;for="[2001:db8:2::1]:4711"`, want: "2001:db8:2::1"},
		{name: "Forwarded, hidden", peer: "10.1.2.3:80", forwarded: `for=203.0.113.99, for=_hidden`, want: "10.1.2.3"},
		{name: "Forwarded, without for", peer: "10.1.2.3:80", forwarded: `for=203.0.113.99, proto=http`, want: "10.1.2.3"},
		{name: "Forwarded, an open quote of the client's", peer: "10.1.2.3:80", forwarded: `for="203.0.113.99, for=203.0.113.1`, want: "203.0.113.1"},
		{name: "both agree", peer: "10.1.2.3:80", forwardedFor: "203.0.113.1", forwarded: "for=203.0.113.1", want: "203.0.113.1"},
		{name: "the proxy passes Forwarded on", peer: "10.1.2.3:80", forwardedFor: "203.0.113.1", forwarded: "for=203.0.113.99", want: "10.1.2.3"},
		{name: "the proxy passes X-Forwarded-For on", peer: "10.1.2.3:80", forwardedFor: "203.0.113.99", forwarded: "for=203.0.113.1", want: "10.1.2.3"},
		{name: "within the process", peer: "in-process", forwardedFor: "203.0.113.1", want: "invalid IP"},
		{name: "none", peer: "", want: "invalid IP"},
	} {
		r := &http.Request{RemoteAddr: tc.peer, Header: http.Header{}}
		if tc.forwardedFor != "" {
			r.Header["X-Forwarded-For"] = strings.Split(tc.forwardedFor, "\n")
		}
		if tc.forwarded != "" {
			r.Header["Forwarded"] = []string{tc.forwarded}
		}
		if got := relay.Proxies(proxies).Client(r).String(); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
	for _, text := range []string{"", "x", "10.0.0.0/33", "proxy.example", "fe80::1%eth0", "::ffff:10.0.0.1", "::ffff:10.0.0.0/104"} {
		if p, err := relay.ParsePrefixes([]string{text}); err == nil {
			t.Errorf("%q is taken for %v", text, p)
		}
	}
}
