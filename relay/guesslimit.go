package relay

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"kubbi-mcp/internal/misslimit"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

// maxRacers is how many late claims of one kubbi, each with another key, an address may send
// before they count as guesses. Several agents behind one address may race.
const maxRacers = 128

// guessLimit limits the guesses of each address: requests with a wrong claim token, API key
// or idempotency key. A request with valid secrets is always served, so nobody can lock out
// their owner.
type guessLimit struct {
	misses   *misslimit.Limiter[netip.Prefix]
	repeated *misslimit.Limiter[wrongKey]    // the same wrong key again
	late     *misslimit.Limiter[lateClaimer] // many different wrong keys
}

// wrongKey is an idempotency key that was wrong for a kubbi.
type wrongKey struct {
	from netip.Prefix
	hash store.Hash // of token and key
}

// lateClaimer is an address that claimed a kubbi after it had ended.
type lateClaimer struct {
	from  netip.Prefix
	token store.Hash
}

func newGuessLimit(limit int) *guessLimit {
	g := &guessLimit{misses: misslimit.New[netip.Prefix](limit), repeated: misslimit.New[wrongKey](0), late: misslimit.New[lateClaimer](0)}
	if limit > 0 {
		g.repeated, g.late = misslimit.New[wrongKey](1), misslimit.New[lateClaimer](maxRacers)
	}
	return g
}

// source is the network for which the guesses of a request count.
func (rl *Relay) source(r *http.Request) netip.Prefix {
	return misslimit.Network(rl.cfg.TrustedProxies.Client(r))
}

// limitGuesses runs write, which claims a kubbi or ends the grace of a claim. An unknown
// token counts as a guess. So does a wrong idempotency key that is repeated, or that follows
// very many others.
//
// write takes the store's write lock. If the address has made too many guesses, the token is
// looked up first, so that more guesses do not take the lock.
func (rl *Relay) limitGuesses(ctx context.Context, req consumerRequest, write func() error) error {
	if req.from.IsValid() && rl.guesses.misses.Wait(req.from, rl.now()) > 0 {
		if _, err := rl.cfg.Store.Inspect(ctx, req.token.key(), rl.now()); errors.Is(err, store.ErrNotFound) {
			return rl.missed(req.from, err)
		}
	}
	err := write()
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrOtherKey) && rl.guesses.isGuess(req, rl.now()) {
		return rl.missed(req.from, err)
	}
	return err
}

// isGuess counts a wrong idempotency key and reports whether it is a guess.
func (g *guessLimit) isGuess(req consumerRequest, now time.Time) bool {
	again := g.repeated.Miss(wrongKey{req.from, HashSecret(req.token.text + " " + req.idempotencyKey)}, now) > 0
	return again || g.late.Miss(lateClaimer{req.from, req.token.key().Hash}, now) > 0
}

// missed counts a guess. It returns err, or CodeRateLimited if the address has made
// too many guesses. Requests from within the process have no address and no limit.
func (rl *Relay) missed(from netip.Prefix, err error) error {
	if !from.IsValid() {
		return err
	}
	wait := rl.guesses.misses.Miss(from, rl.now())
	if wait <= 0 {
		return err
	}
	return failFor(wait, api.CodeRateLimited, fmt.Sprintf(
		"too many claim tokens or keys that are wrong came from this address, and this one is wrong too; try again in %d s", seconds(wait)))
}
