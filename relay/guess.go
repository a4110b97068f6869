package relay

import (
	"container/list"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

// DefaultGuessLimit is a good Config.GuessLimit where strangers can connect.
const DefaultGuessLimit = 30

const (
	guessWindow  = time.Minute // begins with an address's first failed guess
	guessSources = 64 << 10    // addresses that are remembered at most
)

// guessing runs ask, which looks for a claim token or an API key that the
// request brought, unless too many from its address were not there. A guess is
// counted when it has failed, so those that are under way at once all are tried.
func (rl *Relay) guessing(r *http.Request, ask func() error) error {
	if rl.guesses.limit <= 0 {
		return ask()
	}
	from := rl.cfg.TrustedProxies.Client(r)
	if wait := rl.guesses.wait(from, rl.now()); wait > 0 {
		e := fail(api.CodeRateLimited, fmt.Sprintf(
			"too many claim tokens or API keys that do not exist came from this address; try again in %d s", seconds(wait)))
		e.retryAfter = wait
		return e
	}
	err := ask()
	if errors.Is(err, store.ErrNotFound) {
		rl.guesses.failed(from, rl.now())
	}
	return err
}

// guesses counts the failed guesses of each address.
type guesses struct {
	limit int // in a window; 0: none

	mu     sync.Mutex
	of     map[netip.Prefix]*list.Element
	oldest list.List // of *guesser, by the time of their first
}

type guesser struct {
	source netip.Prefix
	first  time.Time
	n      int
}

// over says whether a guesser's window has ended, or was in a time to come
// before the clock was put back.
func (g *guesser) over(now time.Time) bool {
	age := now.Sub(g.first)
	return age < 0 || age >= guessWindow
}

// source is what counts as one address: whoever has an IPv6 address has all
// of its /64.
func source(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil { // not an address
		return netip.Prefix{}
	}
	return p
}

// wait gives for how long that address may not guess again, 0 for not at all.
func (g *guesses) wait(from netip.Addr, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	e, ok := g.of[source(from)]
	if !ok {
		return 0
	}
	by := e.Value.(*guesser)
	if by.n < g.limit || by.over(now) {
		return 0
	}
	return by.first.Add(guessWindow).Sub(now)
}

// failed counts a failed guess.
func (g *guesses) failed(from netip.Addr, now time.Time) {
	if !from.IsValid() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for e := g.oldest.Front(); e != nil && e.Value.(*guesser).over(now); e = g.oldest.Front() {
		g.forget(e)
	}
	s := source(from)
	if e, ok := g.of[s]; ok {
		e.Value.(*guesser).n++
		return
	}
	if g.oldest.Len() >= guessSources {
		g.forget(g.oldest.Front())
	}
	if g.of == nil {
		g.of = map[netip.Prefix]*list.Element{}
	}
	g.of[s] = g.oldest.PushBack(&guesser{source: s, first: now, n: 1})
}

func (g *guesses) forget(e *list.Element) {
	delete(g.of, e.Value.(*guesser).source)
	g.oldest.Remove(e)
}
