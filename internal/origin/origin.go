// Package origin parses origins, such as https://api.kubbi.ai or http://127.0.0.1:7117.
// Client, relay, MCP server and command line share it, so that all of them read an origin
// in the same way.
//
//   - [Parse] reads an origin from a flag, a variable or an Origin header.
//   - [New] makes an origin from a scheme and the value of a Host header.
//   - [FromURL] gives the origin of a URL.
//   - [Origin] is a value in normal form: two origins are the same if they are == .
//     Its zero value is no origin. String prints it as browsers do, without the
//     scheme's own port; Host and Address give its parts.
//   - [Origin.Loopback], [LoopbackHost] and [Origin.SameLoopback] say what belongs to
//     this machine.
//
// Only http and https have origins here. A host is a DNS name in ASCII (other names
// are written in their xn-- form), an IPv4 address with four decimal numbers, or an
// IPv6 address in brackets without a zone. Names with a final dot, an empty label, or
// a last label that some resolvers read as a number are refused. User names, paths
// other than "/", query strings and fragments are refused too.
//
// Every error starts with a verb, so that the caller can put a name before it, as in
// fmt.Errorf("base URL %w", err). An error never quotes the text, which may hold a secret.
package origin

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Origin is a scheme, a host and a port.
type Origin struct {
	scheme string // "http" or "https"
	host   string // in lower case, without brackets
	port   uint16
}

// Parse reads scheme://host or scheme://host:port. Space around it and one slash
// at its end are allowed.
func Parse(text string) (Origin, error) {
	scheme, rest, ok := strings.Cut(strings.TrimSpace(text), "://")
	if !ok {
		return Origin{}, errors.New("has no scheme: it is written https://<host>")
	}
	authority, path, _ := strings.Cut(rest, "/")
	if path != "" || strings.ContainsAny(authority, "?#") {
		return Origin{}, errors.New("has more than a scheme, a host and a port")
	}
	return New(scheme, authority)
}

// FromURL gives the origin of a URL, whatever its path. A URL with a user name has
// none.
func FromURL(u *url.URL) (Origin, error) {
	if u.User != nil {
		return Origin{}, errUser
	}
	return New(u.Scheme, u.Host)
}

var errUser = errors.New("has a user name before its host")

// New makes an origin from a scheme and a host or host:port.
func New(scheme, authority string) (Origin, error) {
	o := Origin{scheme: strings.ToLower(scheme)}
	if o.scheme != "https" && o.scheme != "http" {
		return Origin{}, errors.New("has another scheme than https or http")
	}
	if strings.Contains(authority, "@") {
		return Origin{}, errUser
	}
	var port string
	if inner, ok := strings.CutPrefix(authority, "["); ok {
		inner, rest, closed := strings.Cut(inner, "]")
		addr, err := netip.ParseAddr(inner)
		if !closed || err != nil || !addr.Is6() || addr.Zone() != "" || rest != "" && rest[0] != ':' {
			return Origin{}, errors.New("has an invalid IPv6 address as its host (a zone is not allowed)")
		}
		o.host, port = addr.String(), strings.TrimPrefix(rest, ":")
	} else {
		o.host, port, _ = strings.Cut(authority, ":")
		o.host = strings.ToLower(o.host)
		if !validHost(o.host) {
			return Origin{}, errors.New("has an invalid host (names outside ASCII are written in their xn-- form)")
		}
	}
	if port == "" {
		o.port = o.defaultPort()
		return o, nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return Origin{}, errors.New("has an invalid port")
	}
	o.port = uint16(n)
	return o, nil
}

// validHost reports whether host is a DNS name in lower case or an IPv4 address of four
// decimal numbers. Short and octal forms, which some resolvers read as addresses
// (127.1, 0x7f.0.0.1), are neither.
func validHost(host string) bool {
	if len(host) > 253 {
		return false
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Is4()
	}
	labels := strings.Split(host, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
		for i := range len(l) {
			if c := l[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	last := labels[len(labels)-1]
	return !strings.HasPrefix(last, "0x") && strings.Trim(last, "0123456789") != ""
}

func (o Origin) defaultPort() uint16 {
	if o.scheme == "https" {
		return 443
	}
	return 80
}

// Scheme is "http" or "https".
func (o Origin) Scheme() string { return o.scheme }

// Hostname is the host in lower case, without port and brackets.
func (o Origin) Hostname() string { return o.host }

// Host is the host as a Host header has it: with the port where that is not the
// scheme's own.
func (o Origin) Host() string {
	switch {
	case o.port != o.defaultPort():
		return o.Address()
	case strings.Contains(o.host, ":"):
		return "[" + o.host + "]"
	}
	return o.host
}

// Address is host:port, to dial or to listen at.
func (o Origin) Address() string {
	return net.JoinHostPort(o.host, strconv.FormatUint(uint64(o.port), 10))
}

// String is the origin in its shortest form, as browsers write it; "" for none.
func (o Origin) String() string {
	if o == (Origin{}) {
		return ""
	}
	return o.scheme + "://" + o.Host()
}

// Loopback reports whether the host is localhost or a loopback address.
func (o Origin) Loopback() bool { return LoopbackHost(o.host) }

// LoopbackHost reports whether a host without port and brackets is localhost or a
// loopback address. It asks no DNS server.
func LoopbackHost(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}

// SameLoopback reports whether both are http on the same port of this machine. The hosts
// 127.0.0.1, localhost and [::1] count as the same.
func (o Origin) SameLoopback(other Origin) bool {
	usual := func(host string) bool { return host == "127.0.0.1" || host == "localhost" || host == "::1" }
	return o.scheme == "http" && other.scheme == "http" && o.port == other.port && usual(o.host) && usual(other.host)
}
