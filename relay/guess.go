package relay

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"kubbi-mcp/internal/misslimit"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

// DefaultGuessLimit is a good Config.GuessLimit where strangers can connect.
const DefaultGuessLimit = 30

// racers is how many claims of one kubbi from one address, each under a key of its
// own, come too late without being guesses: agents of one house may race.
const racers = 128

// guesses counts the misses of each address.
type guesses struct {
	misses *misslimit.Limiter[netip.Prefix]
	keys   *misslimit.Limiter[wrongKey]    // those that are told apart from a repeated one
	late   *misslimit.Limiter[lateClaimer] // claims under different keys
}

// wrongKey is an idempotency key that was wrong for a kubbi.
type wrongKey struct {
	from netip.Prefix
	hash store.Hash // of token and key
}

// lateClaimer is an address whose claim of a kubbi came too late.
type lateClaimer struct {
	from  netip.Prefix
	token store.Hash
}

func newGuesses(limit int) *guesses {
	g := &guesses{misses: misslimit.New[netip.Prefix](limit), keys: misslimit.New[wrongKey](0), late: misslimit.New[lateClaimer](0)}
	if limit > 0 {
		g.keys, g.late = misslimit.New[wrongKey](1), misslimit.New[lateClaimer](racers)
	}
	return g
}

// guessing runs look, which looks for what a request's secret leads to: a claim
// token or an API key. What is there is answered whatever has come from the same
// address before, so that nobody can keep those who have a secret from using it.
// What is not there counts as a guess, and is answered with CodeRateLimited once
// there were too many.
func (rl *Relay) guessing(r *http.Request, look func() error) error {
	err := look()
	if errors.Is(err, store.ErrNotFound) {
		return rl.missed(r, err)
	}
	return err
}

// guessingWrite is guessing for a claim, or for the end of its grace, under an
// idempotency key. Those take the store's place to write: for an address that has
// guessed too often the token is read first, so that its further guesses take none.
// A wrong key within another's grace is a guess when it is repeated, or one of
// very many.
func (rl *Relay) guessingWrite(r *http.Request, t token, key string, look func() error) error {
	at := misslimit.Network(rl.cfg.TrustedProxies.Client(r))
	if at.IsValid() && rl.guesses.misses.Wait(at, rl.now()) > 0 {
		if _, err := rl.cfg.Store.Inspect(r.Context(), t.key(), rl.now()); errors.Is(err, store.ErrNotFound) {
			return rl.missed(r, err)
		}
	}
	err := look()
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrOtherKey) && rl.guesses.repeated(at, t, key, rl.now()) {
		return rl.missed(r, err)
	}
	return err
}

// repeated notes a wrong key, and says whether it is a guess.
func (g *guesses) repeated(from netip.Prefix, t token, key string, now time.Time) bool {
	again := g.keys.Miss(wrongKey{from, HashSecret(t.text + " " + key)}, now) > 0
	return again || g.late.Miss(lateClaimer{from, t.key().Hash}, now) > 0
}

// missed counts a guess. It gives err, or CodeRateLimited if there were too many.
func (rl *Relay) missed(r *http.Request, err error) error {
	at := misslimit.Network(rl.cfg.TrustedProxies.Client(r))
	if !at.IsValid() { // within the process
		return err
	}
	if wait := rl.guesses.misses.Miss(at, rl.now()); wait > 0 {
		return tooManyGuesses(wait)
	}
	return err
}

func tooManyGuesses(wait time.Duration) error {
	e := fail(api.CodeRateLimited, fmt.Sprintf(
		"too many claim tokens or keys that are wrong came from this address, and this one is wrong too; try again in %d s", seconds(wait)))
	e.retryAfter = wait
	return e
}
