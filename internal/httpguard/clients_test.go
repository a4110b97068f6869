package httpguard

import (
	"net/netip"
	"testing"

	"kubbi-mcp/internal/misslimit"
)

// TestCounter counts a /64 as one client. What is no address has no limit of its own but
// counts in all. What is released leaves nothing behind.
func TestCounter(t *testing.T) {
	c := NewCounter(7, 2)
	var taken []netip.Prefix
	for _, tc := range []struct {
		ip string
		ok bool
	}{
		{"2001:db8::1", true}, {"2001:db8::2:1", true}, {"2001:db8::3", false}, {"2001:db8:0:1::1", true},
		{"192.0.2.1", true}, {"::ffff:192.0.2.1", true}, {"192.0.2.1", false}, {"192.0.2.2", true}, {"", true}, {"", false}, {"192.0.2.3", false},
	} {
		ip, _ := netip.ParseAddr(tc.ip)
		source := misslimit.Network(ip)
		ok := c.Acquire(source)
		if ok != tc.ok {
			t.Errorf("%q: taken %v", tc.ip, ok)
		}
		if ok {
			taken = append(taken, source)
		}
	}
	for _, source := range taken {
		c.Release(source)
	}
	if c.all != 0 || len(c.clients) != 0 {
		t.Errorf("%d are open, of %v", c.all, c.clients)
	}
}
