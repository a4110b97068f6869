package relay

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"kubbi-mcp/internal/misslimit"
)

// Proxies are the addresses of the trusted reverse proxies in front of a relay. Only a
// header from one of them can name the client of a request.
type Proxies []netip.Prefix

// ParsePrefixes reads addresses and prefixes, such as 10.0.0.7 or 2001:db8::/48.
func ParsePrefixes(texts []string) ([]netip.Prefix, error) {
	var p []netip.Prefix
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			addr, aerr := netip.ParseAddr(text)
			if aerr != nil || addr.Zone() != "" {
				return nil, fmt.Errorf("%q is not an address or a prefix, such as 10.0.0.7 or 10.0.0.0/8", text)
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		if a := prefix.Addr(); a.Is4In6() {
			return nil, fmt.Errorf("%q: write an IPv4 address as such", text)
		}
		p = append(p, prefix.Masked())
	}
	return p, nil
}

// Client is the address of a request's client: the peer's address or, if the peer is one of
// p, the rightmost address in X-Forwarded-For or Forwarded that is not one of p. A request
// from within the process has no valid address.
//
// A proxy sets one of the two headers, and may send the other as the client wrote it. So if
// both headers are present and disagree, Client gives the peer's address.
func (p Proxies) Client(r *http.Request) netip.Addr {
	peer, ok := parseAddr(r.RemoteAddr)
	if !ok || !p.has(peer) {
		return peer
	}
	named := r.Header.Values("X-Forwarded-For")
	elements := r.Header.Values("Forwarded")
	client := p.firstUntrusted(peer, hops(named))
	if len(elements) == 0 {
		return client
	}
	forwarded := hops(elements)
	for i, element := range forwarded {
		forwarded[i] = forParameter(element)
	}
	other := p.firstUntrusted(peer, forwarded)
	if len(named) > 0 && client != other {
		return peer
	}
	return other
}

// Source is the network that counts as one client of connections: an IPv4 address, or the
// /64 of an IPv6 address. It is invalid for a proxy of p, which many clients share, and for
// a peer without an IP address.
func (p Proxies) Source(peer net.Addr) netip.Prefix {
	addr, _ := parseAddr(peer.String())
	return p.source(addr)
}

// SourceOf is Source for the client of a request.
func (p Proxies) SourceOf(r *http.Request) netip.Prefix { return p.source(p.Client(r)) }

func (p Proxies) source(addr netip.Addr) netip.Prefix {
	if !addr.IsValid() || p.has(addr) {
		return netip.Prefix{}
	}
	return misslimit.Network(addr)
}

// firstUntrusted follows hops from the right as long as they are proxies of p and valid.
func (p Proxies) firstUntrusted(peer netip.Addr, hops []string) netip.Addr {
	for i := len(hops) - 1; i >= 0 && p.has(peer); i-- {
		addr, ok := parseAddr(hops[i])
		if !ok {
			break
		}
		peer = addr
	}
	return peer
}

func (p Proxies) has(a netip.Addr) bool {
	return slices.ContainsFunc(p, func(prefix netip.Prefix) bool { return prefix.Contains(a) })
}

// hops splits the values of a list header. It ignores quotes: the client wrote everything to
// the left of the last comma, and an open quote there must not hide what the proxy added.
func hops(lines []string) []string {
	if len(lines) == 0 {
		return nil
	}
	return strings.Split(strings.Join(lines, ","), ",")
}

// forParameter is the "for" parameter of an element of a Forwarded header (RFC 7239).
func forParameter(element string) string {
	for pair := range strings.SplitSeq(element, ";") {
		if name, value, ok := strings.Cut(pair, "="); ok && strings.EqualFold(strings.TrimSpace(name), "for") {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return ""
}

// parseAddr reads an address, with or without a port or brackets.
func parseAddr(text string) (_ netip.Addr, ok bool) {
	text = strings.TrimSpace(text)
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	if err != nil {
		port, err := netip.ParseAddrPort(text)
		if err != nil {
			return netip.Addr{}, false
		}
		addr = port.Addr()
	}
	return addr.Unmap().WithZone(""), true
}
