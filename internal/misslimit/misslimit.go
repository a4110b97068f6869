// Package misslimit limits how often one source may try a secret that does not exist.
// The caller looks the secret up first, and limits only misses. So a right secret is
// always answered, and nobody can lock out those who have one. Secrets of 256 random
// bits need no lock-out.
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

// maxSources is how many sources are remembered. Above that, the source with the oldest
// window is forgotten.
const maxSources = 64 << 10

// Limiter counts the misses of each source. It may be used by several goroutines.
type Limiter[S comparable] struct {
	limit int

	mu     sync.Mutex
	of     map[S]*list.Element
	oldest list.List // of *misses[S], by the time of the first
}

type misses[S comparable] struct {
	source S
	first  time.Time
	n      int
}

// over reports whether a source's window has ended. A window in the future, because the
// clock was put back, has ended too.
func (m *misses[S]) over(now time.Time) bool {
	age := now.Sub(m.first)
	return age < 0 || age >= Window
}

// New makes a limiter of so many misses in a window; zero or less: any number.
func New[S comparable](limit int) *Limiter[S] { return &Limiter[S]{limit: limit} }

// Wait is the time until a source may miss again, 0 if it may now.
func (l *Limiter[S]) Wait(source S, now time.Time) time.Duration {
	if l.limit <= 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wait(source, now)
}

func (l *Limiter[S]) wait(source S, now time.Time) time.Duration {
	e, ok := l.of[source]
	if !ok {
		return 0
	}
	m := e.Value.(*misses[S])
	if m.n < l.limit || m.over(now) {
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
	for e := l.oldest.Front(); e != nil && e.Value.(*misses[S]).over(now); e = l.oldest.Front() {
		l.forget(e)
	}
	if e, ok := l.of[source]; ok {
		if m := e.Value.(*misses[S]); !m.over(now) {
			m.n++
			return 0
		}
		l.forget(e)
	}
	if l.oldest.Len() >= maxSources {
		l.forget(l.oldest.Front())
	}
	if l.of == nil {
		l.of = map[S]*list.Element{}
	}
	l.of[source] = l.oldest.PushBack(&misses[S]{source: source, first: now, n: 1})
	return 0
}

// Undo reverses a Miss, for a caller that counts before it looks the secret up.
func (l *Limiter[S]) Undo(source S) {
	if l.limit <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.of[source]; ok {
		m := e.Value.(*misses[S])
		if m.n--; m.n <= 0 {
			l.forget(e)
		}
	}
}

func (l *Limiter[S]) forget(e *list.Element) {
	delete(l.of, e.Value.(*misses[S]).source)
	l.oldest.Remove(e)
}

// Network is what counts as one source: an IPv4 address, or the /64 of an IPv6 address,
// since a client with one address has all of its /64. An address that is not valid has
// no valid network.
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
