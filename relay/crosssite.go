package relay

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// browserOrigin gives an origin as browsers write it: in lower case, without the
// port that its scheme has anyway.
func browserOrigin(origin string) string {
	u, err := url.Parse(strings.ToLower(origin))
	if err != nil {
		return origin
	}
	if port := u.Port(); u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		u.Host = strings.TrimSuffix(u.Host, net.JoinHostPort("", port))
	}
	return u.Scheme + "://" + u.Host
}

// FromOtherSite says whether a request would change something and was sent by
// another site's page: by Sec-Fetch-Site where the browser sends it, else by
// Origin, which must be that of the request's Host or of the relay's claim URLs,
// since a proxy may pass on another Host. A request with neither is no browser's.
//
// The relay refuses such a request; a handler before the relay should not pass it
// on to anybody else.
func (rl *Relay) FromOtherSite(r *http.Request) bool {
	if r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == rl.pageOrigin {
		return false
	}
	return rl.sites.Check(r) != nil
}

// errOtherSite answers such a request.
func errOtherSite() error {
	return invalid("this request was sent by a page of another site, so nothing was done; open the claim URL itself")
}
