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

// guesses counts the misses of each address.
type guesses = misslimit.Limiter[netip.Prefix]

// guessing runs look, which looks for what a request's secret leads to: a claim
// token, an API key, or the idempotency key of a claim. What is there is answered
// whatever has come from the same address before, so that nobody can keep those
// who have a secret from using it. What is not there counts as a guess, and is
// answered with CodeRateLimited once there were too many.
func (rl *Relay) guessing(r *http.Request, look func() error) error {
	err := look()
	if !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrOtherKey) {
		return err
	}
	from := rl.cfg.TrustedProxies.Client(r)
	if !from.IsValid() { // within the process
		return err
	}
	if wait := rl.guesses.Miss(misslimit.Network(from), rl.now()); wait > 0 {
		return tooManyGuesses(wait)
	}
	return err
}

// guessingWrite is guessing for a look that takes the store's place to write. For
// an address that has guessed too often the token is read first, so that its
// further guesses take none.
func (rl *Relay) guessingWrite(r *http.Request, t token, look func() error) error {
	return rl.guessing(r, func() error {
		from := rl.cfg.TrustedProxies.Client(r)
		if from.IsValid() && rl.guesses.Wait(misslimit.Network(from), rl.now()) > 0 {
			if _, err := rl.cfg.Store.Inspect(r.Context(), t.hash(), rl.now()); errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
		return look()
	})
}

func tooManyGuesses(wait time.Duration) error {
	e := fail(api.CodeRateLimited, fmt.Sprintf(
		"too many claim tokens or keys that are wrong came from this address, and this one is wrong too; try again in %d s", seconds(wait)))
	e.retryAfter = wait
	return e
}
