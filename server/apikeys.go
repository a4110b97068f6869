package server

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"kubbi-mcp/internal/misslimit"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/server/transport"
)

// Limits of the keys of the Kubbi API that callers send.
const (
	maxKeyChecks    = 16               // checks of unknown keys at the same time
	maxWrongKeys    = 20               // from one source in a minute; a relay accepts more from this server
	keyCheckTTL     = time.Minute      // how long the result of a check counts
	keyCheckTimeout = 10 * time.Second // for the answer of the Kubbi API
)

// keySource is the source of unknown keys: a token, or an address if there is no token.
// So callers without a token can't use up the limit of callers with one.
type keySource struct {
	token   string
	address netip.Prefix
}

func sourceOf(id identity, peer string) keySource {
	if id.name != "" {
		return keySource{token: id.name}
	}
	return keySource{address: networkOf(peer)}
}

// networkOf gives the network that counts as one address. It is not valid if peer is
// no IP address, as for a Unix socket.
func networkOf(peer string) netip.Prefix {
	at, err := netip.ParseAddrPort(peer)
	if err != nil {
		return netip.Prefix{}
	}
	return misslimit.Network(at.Addr())
}

func wrongKey() *transport.Refusal {
	return unauthorized("The Kubbi API does not know the key in " + headerAPIKey)
}

func tooManyKeys(wait time.Duration) *transport.Refusal {
	p := transport.Busy(http.StatusTooManyRequests, "rate_limited", "Too many wrong keys in "+headerAPIKey+" came from here; no other is tried until Retry-After has passed")
	p.Retry = wait + time.Second - 1 // rounded up
	return p
}

// checkUnknownKey checks the key of a new caller. A few checks run at the same time, so
// unknown keys can't keep the server busy. A source of many wrong keys is refused, since
// to the Kubbi API all of them come from this server.
func (cs *callers) checkUnknownKey(ctx context.Context, c *caller, from keySource) *transport.Refusal {
	select {
	case cs.checks <- struct{}{}:
		defer func() { <-cs.checks }()
		// It counts as wrong while it is checked, so that parallel checks count.
		if wait := cs.wrongKeys.Miss(from, time.Now()); wait > 0 {
			return tooManyKeys(wait)
		}
		p, wrong := cs.checkKey(ctx, c)
		if !wrong {
			cs.wrongKeys.Undo(from)
		}
		return p
	default:
		return transport.Busy(http.StatusServiceUnavailable, "overloaded", "The server is checking as many keys as it can; try again in a moment")
	}
}

// checkKey checks a caller's own key with the Kubbi API. wrong says whether the Kubbi
// API may count it as a guess.
func (cs *callers) checkKey(ctx context.Context, c *caller) (p *transport.Refusal, wrong bool) {
	ctx, cancel := context.WithTimeout(ctx, keyCheckTimeout)
	defer cancel()
	_, err := c.client.List(ctx, kubbi.ListParams{Limit: 1})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checking = false
	switch {
	case err == nil:
		c.validAt = time.Now()
		return nil, false
	case errors.Is(err, kubbi.ErrUnauthorized):
		c.wrongAt = time.Now()
		return wrongKey(), true
	default:
		cs.h.log.Warn("check a caller's key", "caller", c.server.cfg.Caller, "error", err)
		return transport.Busy(http.StatusServiceUnavailable, "unavailable", "The key can't be checked at the moment: the Kubbi API does not answer"), errors.Is(err, kubbi.ErrRateLimited)
	}
}

// mustCheckKey reports whether a caller's own key must be checked again. It returns true
// to one request; other requests go on meanwhile.
func (c *caller) mustCheckKey() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.checking || time.Since(c.validAt) <= keyCheckTTL {
		return false
	}
	c.checking = true
	return true
}

// hasWrongKey reports whether the last check, a short time ago, found a caller's own
// key wrong, for instance because it was revoked.
func (c *caller) hasWrongKey() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wrongAt.After(c.validAt) && time.Since(c.wrongAt) <= keyCheckTTL
}
