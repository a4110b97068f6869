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

// Bounds of the keys of the Kubbi API that callers bring.
const (
	maxChecking  = 16               // strangers' keys that are being tried at once
	maxWrongKeys = 20               // in a minute from one source; below what a relay takes of this server's address
	keyValid     = time.Minute      // for how long a caller's own key is taken as valid, or wrong, once it was
	keyPatience  = 10 * time.Second // with the Kubbi API, for trying a key
)

// keySource is where keys of the Kubbi API come from: a token, or without one an
// address. So those without a token can't use up what those with one may do.
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

// networkOf is what counts as one address of a connection's other end. It is not
// valid for what is no address, as that of a Unix socket.
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

// tryStranger tries the key of somebody who was not known before. However many
// they are, they do not keep callers who are known from being served. A source of
// many wrong keys has no more of them tried, since to the Kubbi API they all come
// from this server.
func (cs *callers) tryStranger(ctx context.Context, c *caller, from keySource) *transport.Refusal {
	select {
	case cs.checking <- struct{}{}:
		defer func() { <-cs.checking }()
		// Counted before it is tried: those that are under way count as well.
		if wait := cs.wrong.Miss(from, time.Now()); wait > 0 {
			return tooManyKeys(wait)
		}
		p, wrong := cs.try(ctx, c)
		if !wrong {
			cs.wrong.Undo(from)
		}
		return p
	default:
		return transport.Busy(http.StatusServiceUnavailable, "overloaded", "The server is checking as many keys as it can; try again in a moment")
	}
}

// try tries a caller's own key. wrong says whether the Kubbi API may count it as
// a guess.
func (cs *callers) try(ctx context.Context, c *caller) (p *transport.Refusal, wrong bool) {
	ctx, cancel := context.WithTimeout(ctx, keyPatience)
	defer cancel()
	_, err := c.client.List(ctx, kubbi.ListParams{Limit: 1})
	c.mu.Lock()
	c.trying = false
	switch {
	case err == nil:
		c.checked = time.Now()
	case errors.Is(err, kubbi.ErrUnauthorized):
		c.refused = time.Now()
	}
	c.mu.Unlock()
	switch {
	case err == nil:
		return nil, false
	case errors.Is(err, kubbi.ErrUnauthorized):
		return wrongKey(), true
	default:
		cs.h.log.Warn("check a caller's key", "caller", c.server.caller, "error", err)
		return transport.Busy(http.StatusServiceUnavailable, "unavailable", "The key can't be checked at the moment: the Kubbi API does not answer"), errors.Is(err, kubbi.ErrRateLimited)
	}
}

// mustCheck reports whether a caller's own key must be tried anew, to one of
// those who ask while that is so.
func (c *caller) mustCheck() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.trying || time.Since(c.checked) <= keyValid {
		return false
	}
	c.trying = true
	return true
}

// isRefused reports whether a caller's own key was seen to be wrong of late, as
// one that was revoked.
func (c *caller) isRefused() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused.After(c.checked) && time.Since(c.refused) <= keyValid
}
