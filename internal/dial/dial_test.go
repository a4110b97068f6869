package dial_test

import (
	"errors"
	"net/netip"
	"testing"

	"kubbi-mcp/internal/dial"
)

func TestPublic(t *testing.T) {
	public := []string{"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0",
		"192.167.255.255", "192.169.0.0", "223.255.255.255", "2606:4700::1111", "2a00:1450::1"}
	inner := []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.255", "169.254.169.254",
		"172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
		"224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16",
		"::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1",
		"100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254",
		"fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1",
	}
	for _, s := range public {
		if !dial.Public(netip.MustParseAddr(s)) {
			t.Errorf("%s is public", s)
		}
	}
	for _, s := range inner {
		if dial.Public(netip.MustParseAddr(s)) {
			t.Errorf("%s is not public", s)
		}
	}
	d := dial.NewDialer()
	dial.Guard(d, dial.Public)
	for _, s := range []string{"", "x", "1.1.1.1", "1.1.1.1:x", "[::1]:443", "127.0.0.1:443"} {
		if err := d.Control("tcp", s, nil); !errors.Is(err, dial.ErrAddress) {
			t.Errorf("dialling %q: %v", s, err)
		}
	}
	if err := d.Control("tcp", "1.1.1.1:443", nil); err != nil {
		t.Errorf("dialling a public address: %v", err)
	}
}
