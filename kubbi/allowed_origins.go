package kubbi

import (
	"fmt"
	"slices"
	"strings"

	"kubbi-mcp/internal/origin"
	"kubbi-mcp/kubbi/api"
)

// AnyOrigin, given to WithAllowedOrigins, allows every https origin with a public
// address.
const AnyOrigin = "*"

// allowedOrigins are the origins that a client may contact.
type allowedOrigins struct {
	named []origin.Origin
	any   bool
}

// resolve gives the allowed origin that a claim URL leads to. A claim URL without a scheme
// may lead to an http origin. One with another name of this machine leads to the allowed
// origin on the same port. If no allowed origin fits, resolve gives the claim URL's own.
func (a *allowedOrigins) resolve(u ClaimURL) origin.Origin {
	if slices.Contains(a.named, u.origin) {
		return u.origin
	}
	if u.schemeGuessed {
		if plain, err := origin.New("http", u.origin.Host()); err == nil && slices.Contains(a.named, plain) {
			return plain
		}
	}
	if i := slices.IndexFunc(a.named, u.origin.SameLoopback); i >= 0 {
		return a.named[i]
	}
	return u.origin
}

// check refuses an origin that is not allowed. An origin that only AnyOrigin allows is
// guarded: its addresses are checked when it is dialled.
func (a *allowedOrigins) check(o origin.Origin) (guarded bool, err error) {
	switch {
	case slices.Contains(a.named, o):
		return false, nil
	case a.any && o.Scheme() == "https":
		return true, nil
	case a.any:
		return false, refused("origin %s is not allowed: %q allows https only; allow it by name with --allow-origin %s or KUBBI_ALLOW_ORIGINS",
			o, AnyOrigin, o)
	}
	names := make([]string, len(a.named))
	for i, n := range a.named {
		names[i] = n.String()
	}
	return false, refused("origin %s is not allowed, only %s; if you trust it, allow it with --allow-origin %s or KUBBI_ALLOW_ORIGINS",
		o, strings.Join(names, ", "), o)
}

func refused(format string, args ...any) *Error {
	return &Error{Message: fmt.Sprintf(format, args...), kind: ErrOrigin, permanent: true}
}

// target gives the start of a request for a claim URL or bare token. Every inspect and
// claim calls it before it opens a connection. It returns an error that matches ErrOrigin
// if the claim URL's origin is not allowed.
func (c *Client) target(urlOrToken string) (request, error) {
	u, err := ParseClaimURL(urlOrToken)
	if err != nil {
		return request{}, err
	}
	r := request{origin: c.base, path: api.PathClaim + u.token, token: u.token, fragment: u.fragment}
	if !u.bare() {
		r.origin = c.allowed.resolve(u)
		r.guarded, err = c.allowed.check(r.origin)
	}
	return r, err
}
