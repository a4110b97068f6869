package kubbi

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// newTransport makes the transport beneath a client: many connections to one
// host, so that parallel calls do not queue, and HTTP/2 where it is offered.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            newDialer().DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           128,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		WriteBufferSize:        32 << 10,
		ReadBufferSize:         32 << 10,
	}
}

// newGuardedTransport is newTransport for origins that nobody named: it dials
// public addresses only. The check sits behind name resolution, so that a name
// that points to an inner address is refused as well, and a proxy, which would
// resolve the name elsewhere, is not used.
func newGuardedTransport() *http.Transport {
	t := newTransport()
	t.Proxy = nil
	d := newDialer()
	d.Control = checkDial
	t.DialContext = d.DialContext
	return t
}

func newDialer() *net.Dialer {
	return &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
}

// errAddress is why a guarded dial was refused.
var errAddress = errors.New("not a public address")

func checkDial(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || !publicAddr(ap.Addr()) {
		return errAddress
	}
	return nil
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

// publicAddr reports whether a belongs to the public internet. Forms of IPv6
// that carry an IPv4 address (mapped, NAT64, 6to4, Teredo) never do.
func publicAddr(a netip.Addr) bool {
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

// quietTransport keeps what a server sent out of net/http's errors, which
// quote it: a broken answer may well hold the request's path.
type quietTransport struct{ next http.RoundTripper }

func (t quietTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, quiet(err)
	}
	return resp, nil
}

func quiet(err error) error {
	var (
		op   *net.OpError
		cert *tls.CertificateVerificationError
	)
	if errors.As(err, &op) || errors.As(err, &cert) {
		return err
	}
	if text, _, quotes := strings.Cut(err.Error(), `"`); quotes {
		return errors.New(strings.TrimRight(text, " :;"))
	}
	return err
}
