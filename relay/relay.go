// Package relay is the Kubbi HTTP API over a store: routes, authentication,
// validation and policy, as the vendor's API reference describes them. The embedded
// relay (package local) and a team's relay (package service) both serve this handler.
//
// A relay keeps little state: it caches API keys for a second, a few uses of each key's
// rate and the size of the store, and counts the guesses of each address. So any number of
// relays may serve one store.
//
// routes.go lists every route, and every request passes serve.go. Each operation has a file
// with its name: create, claim, inspect, list, get and delete. A create body is read in
// createbody.go, decoded in createjson.go and validated in draft.go. The answer to a claim
// is written in claimanswer.go, or as a page in claimpage.go. Requests, which are an extension,
// are in request.go, requestbody.go and answer.go. errors.go maps errors to answers. The limits
// are in ratelimit.go, guesslimit.go, storagelimit.go, keylimits.go and bodybudget.go.
package relay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"kubbi-mcp/internal/origin"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/webhook"
)

// Config configures a relay. Store, Keyring and Origin are required.
type Config struct {
	Store   store.Store // the caller closes it, after the last request and Run
	Keyring Keyring     // the master keys; the caller keeps them up to date
	Origin  string      // scheme and host of claim URLs, such as http://127.0.0.1:7117
	Name    string      // who runs the relay, for its pages; may be empty
	Contact string      // where people can ask about it, for its pages; may be empty

	// Local says that only this machine reaches the relay. Then the front page needs no API
	// key to send.
	Local bool

	Limits     api.Limits    // zero: api.DefaultLimits
	Grace      time.Duration // how long a create or claim with an idempotency key may be repeated; zero: 1 min, negative: never
	Retention  time.Duration // how long a tombstone stays; zero: 24 h
	SweepEvery time.Duration // longest time between two sweeps of Run; zero or less: 15 s

	MaxStorage int64 // bytes of payloads in the store above which creates are refused; zero: no limit. Several relays of one store may exceed it by what they accept within seconds

	GuessLimit     int     // wrong claim tokens and API keys that an address may try at this relay in a minute; zero: any number
	TrustedProxies Proxies // reverse proxies whose headers name a request's client; zero: none

	MaxWaits int // requests that may wait for a change at the same time, a quarter of them of one client (httpguard.Share); zero: 4,096. Others are answered at once

	Notify *webhook.Options // for webhook receipts; nil: a create with x_notify is refused

	// TokenMark computes the last bytes of a claim token from the bytes before them, so
	// that other relays can see which relay made the token. Such a token has 128 random
	// bits. nil: the last bytes are random too, which makes 192 random bits.
	TokenMark func(head []byte) [markBytes]byte

	// OwnUser reports whether a request comes from the user who owns this relay's data.
	// Error answers to that user say why the store failed, with its paths. nil: no request
	// does.
	OwnUser func(*http.Request) bool

	// WhyUnknown explains to OwnUser why a claim token is not found; nil: no explanation.
	WhyUnknown func(ctx context.Context, token string) []string

	AccessLog bool     // log each request at info rather than debug, except those to /health
	Observer  Observer // is called after requests and sweeps; may be nil

	Now    func() time.Time // zero: time.Now
	Rand   io.Reader        // safe for concurrent use; zero: crypto/rand
	Logger *slog.Logger     // zero: discards
}

// Relay serves the API. It is an http.Handler.
type Relay struct {
	cfg        Config
	mux        *http.ServeMux
	operations map[string]Operation // by the pattern of the mux
	keys       keyCache
	guesses    *guessLimit
	stored     storageLimit
	waiters    *waiters
	numbers    store.Numbers
	bodies     *budget                    // of create bodies in JSON
	pages      *budget                    // of pages that show a payload
	origin     string                     // of claim URLs and their page, as browsers write it
	sites      http.CrossOriginProtection // trusts no other origin
	sender     *webhook.Sender            // nil: no receipts are sent
}

// New makes a relay. A fault in cfg is an error.
func New(cfg Config) (*Relay, error) {
	if cfg.Store == nil {
		return nil, errors.New("relay needs a store")
	}
	if cfg.Keyring == nil || cfg.Keyring.Current().Sealing(time.Time{}) == "" {
		return nil, errors.New("relay needs a keyring with a key")
	}
	o, err := ParseOrigin(cfg.Origin)
	if err != nil {
		return nil, err
	}
	if cfg.Limits == (api.Limits{}) {
		cfg.Limits = api.DefaultLimits()
	}
	if cfg.Grace == 0 {
		cfg.Grace = time.Minute
	}
	if cfg.Retention == 0 {
		cfg.Retention = 24 * time.Hour
	}
	if cfg.SweepEvery <= 0 {
		cfg.SweepEvery = 15 * time.Second
	}
	if cfg.MaxWaits == 0 {
		cfg.MaxWaits = defaultMaxWaits
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	rl := &Relay{
		cfg: cfg, origin: o.String(), guesses: newGuessLimit(cfg.GuessLimit),
		bodies: newBudget(maxBodies), pages: newBudget(maxPages),
	}
	rl.waiters = newWaiters(&cfg, rl.now)
	rl.cfg.Store = noticingStore{cfg.Store, rl.waiters}
	if cfg.Notify != nil {
		rl.sender = webhook.New(webhook.Config{Options: *cfg.Notify, Store: cfg.Store, Open: rl.openNotice, Now: rl.now, Logger: cfg.Logger})
	}
	rl.makeMux()
	return rl, nil
}

// ParseOrigin reads the origin of claim URLs: a URL without a path.
func ParseOrigin(text string) (origin.Origin, error) {
	o, err := origin.Parse(text)
	if err != nil {
		return o, fmt.Errorf("relay origin %q is not of the form https://host[:port]: it %w", text, err)
	}
	return o, nil
}

// now is the time with the precision that stores and the API keep.
func (rl *Relay) now() time.Time { return rl.cfg.Now().UTC().Truncate(time.Millisecond) }

func (rl *Relay) claimURL(token string) string { return rl.origin + api.PathClaim + token }

// storeTimeout limits calls that only read the store's state, and those that complete a
// change whose client may have gone.
const storeTimeout = 2 * time.Second

// health answers GET /health.
func (rl *Relay) health(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	status, body := http.StatusOK, api.Health{Status: "ok", Database: "connected", Timestamp: api.NewTime(rl.now())}
	if err := rl.cfg.Store.Ping(ctx); err != nil {
		rl.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "store is unreachable", slog.Any("err", err))
		status, body.Status, body.Database = http.StatusServiceUnavailable, "degraded", "unreachable"
	}
	return writeJSON(w, status, body)
}
