// Package dial keeps a program that connects where others tell it to away from
// addresses that are not the public internet's. Client and relay share it.
package dial

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// ErrAddress is why a dial was refused.
var ErrAddress = errors.New("the address is not one that may be dialled")

// NewDialer gives a dialer without a guard.
func NewDialer() *net.Dialer {
	return &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
}

// Guard makes a dialer refuse, with ErrAddress, what may says no to, Public for
// instance. It looks behind name resolution, so that a name that points to an
// inner address is refused as well. A proxy, which would resolve the name
// elsewhere, must not be used with it.
func Guard(d *net.Dialer, may func(netip.Addr) bool) {
	d.Control = func(_, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil || !may(ap.Addr()) {
			return ErrAddress
		}
		return nil
	}
}

// reserved are the address blocks that are not the public internet, or reach
// another block through translation: IANA's special-purpose registries, and
// the address of one cloud's metadata service that lies outside them.
func reserved() []netip.Prefix {
	var ps []netip.Prefix
	for s := range strings.FieldsSeq(`
		0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12
		192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15
		198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 168.63.129.16/32
		2001::/23 2001:db8::/32 2002::/16 3fff::/20`) {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

// Public reports whether a belongs to the public internet. Forms of IPv6 that
// carry an IPv4 address (mapped, NAT64, 6to4, Teredo) never do.
func Public(a netip.Addr) bool {
	if !a.IsValid() || a.Zone() != "" {
		return false
	}
	if a.Is6() && !netip.MustParsePrefix("2000::/3").Contains(a) { // all that is global unicast today
		return false
	}
	for _, p := range reserved() {
		if p.Contains(a) {
			return false
		}
	}
	return true
}
