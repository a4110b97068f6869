// Package dial makes dialers that refuse addresses outside the public internet. They are
// for connections whose target comes from a stranger: claim URLs and webhooks.
package dial

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"
)

// ErrAddress is the error of a dial that was refused.
var ErrAddress = errors.New("the address is not one that may be dialled")

// NewDialer makes a dialer that allows every address.
func NewDialer() *net.Dialer {
	return &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
}

// Guard makes a dialer refuse, with ErrAddress, every address for which allowed, such as
// Public, is false. It checks after name resolution, so a name that points to a private
// address is refused too. It must not be used with a proxy, which would resolve the name
// elsewhere.
func Guard(d *net.Dialer, allowed func(netip.Addr) bool) {
	d.Control = func(_, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil || !allowed(ap.Addr()) {
			return ErrAddress
		}
		return nil
	}
}

// globalUnicast has all IPv6 addresses of the public internet today.
var globalUnicast = netip.MustParsePrefix("2000::/3")

// reserved lists the address blocks that are not on the public internet, or that are
// translated to other blocks. It has those of IANA's special-purpose registries, and the
// address of one cloud's metadata service, which is in none of them.
var reserved = func() (ps []netip.Prefix) {
	for s := range strings.FieldsSeq(`
		0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12
		192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15
		198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 168.63.129.16/32
		2001::/23 2001:db8::/32 2002::/16 3fff::/20`) {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}()

// Public reports whether a is on the public internet. An IPv6 address that carries an IPv4
// address (mapped, NAT64, 6to4, Teredo) never is.
func Public(a netip.Addr) bool {
	if !a.IsValid() || a.Zone() != "" {
		return false
	}
	if a.Is6() && !globalUnicast.Contains(a) {
		return false
	}
	return !slices.ContainsFunc(reserved, func(p netip.Prefix) bool { return p.Contains(a) })
}
