// Package misslimit is a rate limit for guesses: for requests whose secret does not exist.
// The caller looks up the secret first and limits only misses. So a request with a valid
// secret is always served, and nobody can lock out its owner. Secrets of 256 random bits
// need no lock-out.
package misslimit

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

// Window starts with a source's first miss. When it ends, the source's misses are
// forgotten.
const Window = time.Minute

// maxSources is how many sources a Limiter remembers. Above that it forgets the source
// with the oldest window.
const maxSources = 64 << 10

// Limiter counts the misses of each source. It may be used by several goroutines.
type Limiter[S comparable] struct {
	limit int

	mu      sync.Mutex
	sources map[S]*list.Element // of order
	order   list.List           // of *misses[S], oldest window first
}

type misses[S comparable] struct {
	source S
	first  time.Time
	n      int
}

// ended reports whether a source's window has ended. A window that starts in the future,
// because the clock was set back, counts as ended.
func (m *misses[S]) ended(now time.Time) bool {
	age := now.Sub(m.first)
	return age < 0 || age >= Window
}

// New makes a limiter that allows limit misses of a source in a window; zero or less: no
// limit.
func New[S comparable](limit int) *Limiter[S] { return &Limiter[S]{limit: limit} }

// Wait is the time until a source may miss again; 0: now.
func (l *Limiter[S]) Wait(source S, now time.Time) time.Duration {
	if l.limit <= 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wait(source, now)
}

func (l *Limiter[S]) wait(source S, now time.Time) time.Duration {
	e, ok := l.sources[source]
	if !ok {
		return 0
	}
	m := e.Value.(*misses[S])
	if m.n < l.limit || m.ended(now) {
		return 0
	}
	return m.first.Add(Window).Sub(now)
}

// Miss counts a miss and returns 0. If the source has already reached its limit, nothing
// is counted, and Miss returns the time until the source may miss again.
func (l *Limiter[S]) Miss(source S, now time.Time) time.Duration {
	if l.limit <= 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if wait := l.wait(source, now); wait > 0 {
		return wait
	}
	for e := l.order.Front(); e != nil && e.Value.(*misses[S]).ended(now); e = l.order.Front() {
		l.forget(e)
	}
	if e, ok := l.sources[source]; ok {
		if m := e.Value.(*misses[S]); !m.ended(now) {
			m.n++
			return 0
		}
		l.forget(e)
	}
	if l.order.Len() >= maxSources {
		l.forget(l.order.Front())
	}
	if l.sources == nil {
		l.sources = map[S]*list.Element{}
	}
	l.sources[source] = l.order.PushBack(&misses[S]{source: source, first: now, n: 1})
	return 0
}

// Undo reverses a Miss, for a caller that counts before it looks the secret up.
func (l *Limiter[S]) Undo(source S) {
	if l.limit <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.sources[source]; ok {
		m := e.Value.(*misses[S])
		if m.n--; m.n <= 0 {
			l.forget(e)
		}
	}
}

func (l *Limiter[S]) forget(e *list.Element) {
	delete(l.sources, e.Value.(*misses[S]).source)
	l.order.Remove(e)
}

// Network gives the network that counts as one source: an IPv4 address, or the /64 of an
// IPv6 address, since a client can usually use its whole /64. The network of an invalid
// address is invalid.
func Network(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
