package relay

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"kubbi-mcp/internal/misslimit"
)

// Proxies are the addresses of the reverse proxies before a relay. Only what
// these say of where a request comes from is believed.
type Proxies []netip.Prefix

// ParseProxies reads addresses and prefixes, as 10.0.0.7 or 2001:db8::/48.
func ParseProxies(texts []string) (Proxies, error) {
	var p Proxies
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

// Client gives the address that a request comes from: its peer's unless that is
// one of p, else the rightmost in X-Forwarded-For or in Forwarded that is not.
// It is not valid for a request that has none, as one within the process.
//
// A proxy sets one of the two headers and may pass the other on as the client
// wrote it. So where both are there they must agree, or the peer's counts.
func (p Proxies) Client(r *http.Request) netip.Addr {
	peer, ok := parseAddr(r.RemoteAddr)
	if !ok || !p.has(peer) {
		return peer
	}
	named := r.Header.Values("X-Forwarded-For")
	elements := r.Header.Values("Forwarded")
	client := p.last(peer, hops(named))
	if len(elements) == 0 {
		return client
	}
	forwarded := hops(elements)
	for i, element := range forwarded {
		forwarded[i] = forParameter(element)
	}
	other := p.last(peer, forwarded)
	if len(named) > 0 && client != other {
		return peer
	}
	return other
}

// Source gives what counts as one address of those who connect: the address, or
// the /64 of an IPv6 one. It is not valid for a proxy of p, through which many
// come, and for what is no IP address.
func (p Proxies) Source(peer net.Addr) netip.Prefix {
	addr, _ := parseAddr(peer.String())
	return p.source(addr)
}

// SourceOf is Source for where a request comes from, as Client gives it.
func (p Proxies) SourceOf(r *http.Request) netip.Prefix { return p.source(p.Client(r)) }

func (p Proxies) source(addr netip.Addr) netip.Prefix {
	if !addr.IsValid() || p.has(addr) {
		return netip.Prefix{}
	}
	return misslimit.Network(addr)
}

// last follows hops from the right for as long as they are proxies of p, or
// as far as they can be read.
func (p Proxies) last(peer netip.Addr, hops []string) netip.Addr {
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
	for _, prefix := range p {
		if prefix.Contains(a) {
			return true
		}
	}
	return false
}

// hops splits a header of lists. It minds no quotes: what stands left of the
// last comma is the client's own, and one that it leaves open must not hide
// what the proxy has added.
func hops(lines []string) []string {
	if len(lines) == 0 {
		return nil
	}
	return strings.Split(strings.Join(lines, ","), ",")
}

// forParameter gives what an element of a Forwarded header (RFC 7239) has
// under for.
func forParameter(element string) string {
	for pair := range strings.SplitSeq(element, ";") {
		if name, value, ok := strings.Cut(pair, "="); ok && strings.EqualFold(strings.TrimSpace(name), "for") {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return ""
}

// parseAddr reads an address, also one with a port or in brackets.
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
