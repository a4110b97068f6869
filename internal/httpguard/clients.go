// Package httpguard protects the HTTP servers of this program. A [Listener] and a [Counter]
// limit how many connections or requests are open at the same time, in all and for one
// client, so that one client can't shut out all others. [CleanPath] recognises the paths
// that a mux would redirect.
//
// A client is an address, or the /64 of an IPv6 address. A source that is not valid, such
// as a proxy that many clients share, has no limit of its own.
package httpguard

import (
	"net/netip"
	"sync"
)

// Counter counts what is open, in all and for each client. It may be used by several
// goroutines.
type Counter struct {
	max, perClient int

	mu      sync.Mutex
	all     int
	clients map[netip.Prefix]int
}

// NewCounter makes a counter that lets max be open, and perClient of these for one client.
func NewCounter(max, perClient int) *Counter {
	return &Counter{max: max, perClient: perClient, clients: map[netip.Prefix]int{}}
}

// Share is how many of n one client may have open: a quarter, but at least 8, and at
// least one less than n.
func Share(n int) int { return max(1, min(max(n/4, 8), n-1)) }

// Acquire counts one more and returns true, unless a limit is reached. Release must follow.
func (c *Counter) Acquire(client netip.Prefix) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all >= c.max || client.IsValid() && c.clients[client] >= c.perClient {
		return false
	}
	c.all++
	c.clients[client]++
	return true
}

// Release ends one connection or request that Acquire has counted.
func (c *Counter) Release(client netip.Prefix) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.clients[client]--; c.clients[client] == 0 {
		delete(c.clients, client)
	}
}
