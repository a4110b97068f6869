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

// Counter counts what each client has open. It may be used by several goroutines.
type Counter struct {
	max int // for one client

	mu   sync.Mutex
	open map[netip.Prefix]int
}

// NewCounter makes a counter that lets one client have max open.
func NewCounter(max int) *Counter { return &Counter{max: max, open: map[netip.Prefix]int{}} }

// Share is how many of n one client may have open: a quarter, but at least 8, and at
// least one less than n.
func Share(n int) int { return max(1, min(max(n/4, 8), n-1)) }

// Acquire counts one more and returns true, unless the client has reached its limit.
// Release must follow.
func (c *Counter) Acquire(client netip.Prefix) bool {
	if !client.IsValid() {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[client] >= c.max {
		return false
	}
	c.open[client]++
	return true
}

// Release ends one connection or request that Acquire has counted.
func (c *Counter) Release(client netip.Prefix) {
	if !client.IsValid() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[client]--; c.open[client] == 0 {
		delete(c.open, client)
	}
}
