package kubbi

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"kubbi-mcp/kubbi/api"
)

// AnyOrigin, given to WithAllowedOrigins, allows every https origin whose
// address is a public one.
const AnyOrigin = "*"

// Bounds of claim tokens, in bytes.
const (
	minToken = 16
	maxToken = 512
)

// ClaimURL is a claim URL or a bare claim token, taken apart. Its parts are
// secrets: it prints and marshals without them.
type ClaimURL struct {
	origin, token, fragment string

	guessed bool // the scheme of the origin: there was none
}

// Origin is scheme, host and port in their shortest form, as
// "https://api.kubbi.ai"; empty for a bare token.
func (u ClaimURL) Origin() string { return u.origin }

// Token is the claim token: a secret.
func (u ClaimURL) Token() string { return u.token }

// Fragment is what follows "#", which no request carries: a secret.
func (u ClaimURL) Fragment() string { return u.fragment }

// URL is the claim URL in its plain form without the fragment, or the bare
// token: a secret.
func (u ClaimURL) URL() string {
	if u.origin == "" {
		return u.token
	}
	return u.origin + api.PathClaim + u.token
}

// String shows everything but the secrets.
func (u ClaimURL) String() string { return u.origin + api.PathClaim + "[redacted]" }

// GoString shows what String shows.
func (u ClaimURL) GoString() string { return u.String() }

// MarshalText writes what String shows.
func (u ClaimURL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// ParseClaimURL takes apart a claim URL, https://<host>/r/<token>, or a bare
// claim token. It finds the one claim URL in a text as people and programs pass
// it on, such as a sentence, a Markdown link, or one without its scheme. A
// fragment is kept aside; a query string, trailing slashes and the suffixes /claim
// and /inspect are dropped; scheme and host may be in upper case. What has two
// readings or none is refused with an error that matches ErrValidation, says what
// is wrong, and does not repeat any part of the URL.
//
// It does not decide whether the origin may be contacted: Client does.
func ParseClaimURL(s string) (ClaimURL, error) {
	if len(s) > maxClaimText {
		return ClaimURL{}, invalid("claim URL is longer than %d bytes", maxClaimText)
	}
	s = unwrap(s)
	if inner, ok := passedOn(s); ok {
		s = unwrap(inner)
	}
	if s == "" {
		return ClaimURL{}, invalid("claim URL is empty")
	}
	token, fragment := cutFragment(strings.TrimRight(s, ".,;:!?"))
	switch {
	case isID(token):
		return ClaimURL{}, invalid("this is a kubbi's id, for get and delete, and no claim URL; only the claim_url that its sender got opens it")
	case isToken(token):
		return ClaimURL{token: token, fragment: cleanFragment(fragment)}, nil
	}
	return find(s)
}

// ParseOrigin gives the plain form of an origin, scheme://host or
// scheme://host:port, as WithAllowedOrigins and WithBaseURL take it.
func ParseOrigin(s string) (string, error) {
	scheme, rest, ok := strings.Cut(strings.TrimSpace(s), "://")
	if !ok {
		return "", fmt.Errorf("has no scheme: it is written https://<host>")
	}
	authority, path, _ := strings.Cut(rest, "/")
	if path != "" || strings.ContainsAny(authority, "?#") {
		return "", fmt.Errorf("has more than a scheme, a host and a port")
	}
	return joinOrigin(scheme, authority)
}

// unwrap takes off the space and the quotes that people and models put around
// a URL.
func unwrap(s string) string {
	for {
		s = strings.TrimSpace(s)
		n := len(s)
		if n < 2 {
			return s
		}
		switch s[:1] + s[n-1:] {
		case "<>", `""`, "''", "``":
			s = s[1 : n-1]
		default:
			return s
		}
	}
}

func isToken(s string) bool {
	if len(s) < minToken || len(s) > maxToken {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// pathToken finds the token in /r/<token>, optionally with a suffix.
func pathToken(path string) (string, error) {
	path = strings.TrimRight(path, "/")
	segment, ok := strings.CutPrefix(path, api.PathClaim)
	if !ok {
		return "", fmt.Errorf("has another path than /r/<token>")
	}
	// Only one of the two: a token is never followed by both.
	if s, ok := strings.CutSuffix(segment, api.SuffixClaim); ok {
		segment = s
	} else if s, ok := strings.CutSuffix(segment, api.SuffixInspect); ok {
		segment = s
	}
	token, err := url.PathUnescape(segment)
	if err != nil || strings.Contains(token, "%") {
		return "", fmt.Errorf("has wrong percent-encoding in its path")
	}
	if !isToken(token) {
		return "", fmt.Errorf("has no plain claim token after /r/: one has %d to %d characters of A-Z a-z 0-9 - _", minToken, maxToken)
	}
	return token, nil
}

// joinOrigin checks a scheme and the host and port after it, and joins them in
// lower case, without a default port. Its errors start with a verb and repeat
// nothing.
func joinOrigin(scheme, authority string) (string, error) {
	scheme = strings.ToLower(scheme)
	if scheme != "https" && scheme != "http" {
		return "", fmt.Errorf("has another scheme than https or http")
	}
	if strings.Contains(authority, "@") {
		return "", fmt.Errorf("has a user name before its host")
	}
	host, port := authority, ""
	if strings.HasPrefix(authority, "[") {
		inner, rest, ok := strings.Cut(authority[1:], "]")
		addr, err := netip.ParseAddr(inner)
		if !ok || err != nil || !addr.Is6() || addr.Zone() != "" || rest != "" && rest[0] != ':' {
			return "", fmt.Errorf("has an invalid IPv6 address as its host (a zone is not allowed)")
		}
		host, port = "["+addr.String()+"]", strings.TrimPrefix(rest, ":")
	} else {
		host, port, _ = strings.Cut(authority, ":")
		host = strings.ToLower(host)
		if !validHost(host) {
			return "", fmt.Errorf("has an invalid host (names outside ASCII are written in their xn-- form)")
		}
	}
	if port == "" {
		return scheme + "://" + host, nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return "", fmt.Errorf("has an invalid port")
	}
	if scheme == "https" && n == 443 || scheme == "http" && n == 80 {
		return scheme + "://" + host, nil
	}
	return fmt.Sprintf("%s://%s:%d", scheme, host, n), nil
}

// validHost reports whether host is a DNS name in lower case or an IPv4
// address in its usual form. Short and octal forms, which some resolvers read
// as addresses (127.1, 0x7f.0.0.1), are neither.
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
	if strings.HasPrefix(last, "0x") {
		return false
	}
	return strings.Trim(last, "0123456789") != ""
}

// loopbackHosts are the names of this machine that stand for each other.
var loopbackHosts = []string{"127.0.0.1", "localhost", "[::1]"}

// loopback gives what follows the host in an http origin of this machine, ":" and
// the port or ":80"; "" for another origin.
func loopback(origin string) string {
	rest, ok := strings.CutPrefix(origin, "http://")
	if !ok {
		return ""
	}
	for _, h := range loopbackHosts {
		switch port, ok := strings.CutPrefix(rest, h); {
		case ok && port == "":
			return ":80"
		case ok && port[0] == ':':
			return port
		}
	}
	return ""
}

// meant gives the allowed origin that a claim URL means. A claim URL without a
// scheme may mean an http one; http on another name of this machine means the one
// that is allowed on the same port. Where that is not one of them, the claim URL's
// own origin comes back.
func (o *origins) meant(u ClaimURL) string {
	if slices.Contains(o.named, u.origin) {
		return u.origin
	}
	if plain := "http://" + host(u.origin); u.guessed && slices.Contains(o.named, plain) {
		return plain
	}
	if port := loopback(u.origin); port != "" {
		for _, n := range o.named {
			if loopback(n) == port {
				return n
			}
		}
	}
	return u.origin
}

// origins are those that a client may contact.
type origins struct {
	named []string
	any   bool
}

func (o *origins) add(s string) error {
	if strings.TrimSpace(s) == AnyOrigin {
		o.any = true
		return nil
	}
	origin, err := ParseOrigin(s)
	if err != nil {
		return err
	}
	if !slices.Contains(o.named, origin) {
		o.named = append(o.named, origin)
	}
	return nil
}

// check refuses an origin that is not allowed. An origin that only "*" allows
// is guarded: its addresses are checked when it is dialled.
func (o *origins) check(origin string) (guarded bool, err error) {
	switch {
	case slices.Contains(o.named, origin):
		return false, nil
	case o.any && strings.HasPrefix(origin, "https://"):
		return true, nil
	case o.any:
		return false, refused("origin %s is not allowed: %q allows https only; allow it by name with --allow-origin %s or KUBBI_ALLOW_ORIGINS",
			origin, AnyOrigin, origin)
	default:
		return false, refused("origin %s is not allowed, only %s; if you trust it, allow it with --allow-origin %s or KUBBI_ALLOW_ORIGINS",
			origin, strings.Join(o.named, ", "), origin)
	}
}

func refused(format string, args ...any) *Error {
	return &Error{Message: fmt.Sprintf(format, args...), kind: ErrOrigin, permanent: true}
}
