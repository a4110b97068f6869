package service

import (
	"net/netip"
	"sync"
)

// shares counts what each address has of something, so that no address has all of
// it. What is not valid is no address, and has no share.
type shares struct {
	most int // of one address

	mu sync.Mutex
	of map[netip.Prefix]int
}

// shareOf is what one address may have of n at once: a quarter, 8 at least, and
// never all but of one.
func shareOf(n int) int { return max(1, min(max(n/4, 8), n-1)) }

// take counts one more, unless the address has its share. give must follow.
func (s *shares) take(source netip.Prefix) bool {
	if !source.IsValid() {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[source] >= s.most {
		return false
	}
	if s.of == nil {
		s.of = map[netip.Prefix]int{}
	}
	s.of[source]++
	return true
}

func (s *shares) give(source netip.Prefix) {
	if !source.IsValid() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[source]--; s.of[source] == 0 {
		delete(s.of, source)
	}
}
