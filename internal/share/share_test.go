package share

import (
	"net/netip"
	"testing"

	"kubbi-mcp/internal/misslimit"
)

// TestListenerCounts: a /64 counts as one, what is no address has no share but
// counts in all, and nothing is kept of those that have gone.
func TestListenerCounts(t *testing.T) {
	l := NewListener(nil, Config{Most: 7, PerSource: 2})
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
		ok := l.take(source)
		if ok != tc.ok {
			t.Errorf("%q: taken %v", tc.ip, ok)
		}
		if ok {
			taken = append(taken, source)
		}
	}
	for _, source := range taken {
		l.give(source)
	}
	if l.open != 0 || len(l.sources.of) != 0 {
		t.Errorf("%d are open, of %v", l.open, l.sources.of)
	}
}
