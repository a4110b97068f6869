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

// Bounds of claim URLs and tokens, in bytes. The relay's own tokens have 43.
const (
	maxClaimURL = 4096
	minToken    = 16
	maxToken    = 512
)

// ClaimURL is a claim URL or a bare claim token, taken apart. Its parts are
// secrets: it prints and marshals without them.
type ClaimURL struct {
	origin, token, fragment string
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
// claim token. Space, quotes and angle brackets around it are taken off; a
// fragment is kept aside; trailing slashes and the suffixes /claim and /inspect
// are dropped; scheme and host may be in upper case. What else differs from the
// plain form is refused with an error that matches ErrValidation, says what is
// wrong, and does not repeat any part of the URL.
//
// It does not decide whether the origin may be contacted: Client does.
func ParseClaimURL(s string) (ClaimURL, error) {
	if len(s) > maxClaimURL {
		return ClaimURL{}, invalid("claim URL is longer than %d bytes", maxClaimURL)
	}
	s = unwrap(s)
	if s == "" {
		return ClaimURL{}, invalid("claim URL is empty")
	}
	for i := range len(s) {
		// Letters outside ASCII are refused rather than converted: a name that
		// looks like an allowed one must not become another one on its way.
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '\\' {
			return ClaimURL{}, invalid("claim URL holds a space, a control character, a backslash or a character outside ASCII")
		}
	}
	s, fragment, _ := strings.Cut(s, "#")
	if isToken(s) {
		return ClaimURL{token: s, fragment: fragment}, nil
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return ClaimURL{}, invalid("neither a claim URL, https://<host>/r/<token>, nor a claim token, %d to %d characters of A-Z a-z 0-9 - _", minToken, maxToken)
	}
	if strings.Contains(rest, "?") {
		return ClaimURL{}, invalid("claim URL has a query string; a claim URL has none")
	}
	authority, path, _ := strings.Cut(rest, "/")
	origin, err := joinOrigin(scheme, authority)
	if err != nil {
		return ClaimURL{}, invalid("claim URL %v", err)
	}
	token, err := pathToken("/" + path)
	if err != nil {
		return ClaimURL{}, invalid("claim URL %v", err)
	}
	return ClaimURL{origin: origin, token: token, fragment: fragment}, nil
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
