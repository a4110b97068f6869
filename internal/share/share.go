// Package share bounds what clients have of something at once, in all and of one
// address, so that one client can't shut out all others. A source that is not
// valid, as that of a proxy through which everybody comes, has no share of its
// own.
package share

import (
	"net/netip"
	"sync"
)

// Counter counts what each source has. It may be used by several goroutines.
type Counter struct {
	most int // of one source

	mu sync.Mutex
	of map[netip.Prefix]int
}

// NewCounter makes a counter that lets one source have most at once.
func NewCounter(most int) *Counter { return &Counter{most: most, of: map[netip.Prefix]int{}} }

// Of is what one source may have of n at once: a quarter, 8 at least, and never
// all but of one.
func Of(n int) int { return max(1, min(max(n/4, 8), n-1)) }

// Take counts one more, unless the source has its share. Give must follow.
func (c *Counter) Take(source netip.Prefix) bool {
	if !source.IsValid() {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of[source] >= c.most {
		return false
	}
	c.of[source]++
	return true
}

// Give ends what Take has counted.
func (c *Counter) Give(source netip.Prefix) {
	if !source.IsValid() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of[source]--; c.of[source] == 0 {
		delete(c.of, source)
	}
}
