// Package relay is the Kubbi HTTP API over a store: routes, authentication,
// validation and policy, as the vendor's API reference has them. The embedded
// relay (package local) and a team relay are both this handler.
//
// A relay keeps no state of its own beyond a one-second cache of API keys, a
// few requests of their rates taken in advance, and who has guessed: any number
// of them may serve one store.
package relay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/webhook"
)

// The defaults of Config.
const (
	DefaultGrace      = 60 * time.Second
	DefaultRetention  = 24 * time.Hour
	DefaultSweepEvery = 15 * time.Second
)

// Config is what a relay needs. Store, Keyring and Origin must be given.
type Config struct {
	Store   store.Store // the caller closes it, after the last request and Run
	Keyring Keyring     // the master keys; its caller keeps it up to date
	Origin  string      // scheme and host of claim URLs, as http://127.0.0.1:7117

	Limits     api.Limits    // zero: api.DefaultLimits
	Grace      time.Duration // how long a create or claim with an idempotency key may be repeated; zero: DefaultGrace, negative: not at all
	Retention  time.Duration // how long a tombstone stays; zero: DefaultRetention
	SweepEvery time.Duration // between two sweeps of Run; not above zero: DefaultSweepEvery

	MaxStorage int64 // bytes of payloads in the store above which creates are refused, within what all its relays let in in some seconds; zero: no limit

	GuessLimit     int     // failed guesses of claim tokens and API keys in a minute that an address may make at this relay; zero: any number
	TrustedProxies Proxies // whose word about a request's address is taken; zero: nobody's

	Notify *webhook.Options // where webhook receipts may go that producers ask for; nil: nowhere, and asking is a fault

	Memory int64 // bytes that all requests together may hold of payloads, as those in JSON must be; a create beyond it is to come again; zero: DefaultMemory

	// Mark gives the last bytes of a claim token from those before them, so that it
	// can be seen which relay made it: 128 random bits are left. nil: they are random
	// as well, and there are 192.
	Mark func(head []byte) [markBytes]byte

	// Own tells whether a request is of the relay's own user, who is told why the
	// store has failed, with its paths; nil: none is.
	Own func(*http.Request) bool

	AccessLog bool     // logs each request at info rather than debug, but for those to /health
	Observer  Observer // is told of requests and sweeps; zero: nobody

	Now    func() time.Time // zero: time.Now
	Rand   io.Reader        // safe for concurrent use; zero: crypto/rand
	Logger *slog.Logger     // zero: discards
}

// Relay serves the API. It is an http.Handler.
type Relay struct {
	cfg        Config
	mux        *http.ServeMux
	keys       keyCache
	meters     meters
	guesses    *guesses
	room       room
	numbers    store.Numbers
	memory     *memory                    // of bodies in JSON
	pages      *memory                    // that are written
	pageOrigin string                     // of the claim page, as browsers write it
	sites      http.CrossOriginProtection // trusts nobody: see FromOtherSite
	sender     *webhook.Sender            // nil: nobody is told of anything
}

// New makes a relay. A fault in cfg is an error.
func New(cfg Config) (*Relay, error) {
	if cfg.Store == nil {
		return nil, errors.New("relay needs a store")
	}
	if cfg.Keyring == nil || cfg.Keyring.Current().Sealing(time.Time{}) == "" {
		return nil, errors.New("relay needs a keyring with a key")
	}
	var err error
	if cfg.Origin, err = ParseOrigin(cfg.Origin); err != nil {
		return nil, err
	}
	if cfg.Limits == (api.Limits{}) {
		cfg.Limits = api.DefaultLimits()
	}
	if cfg.Grace == 0 {
		cfg.Grace = DefaultGrace
	}
	if cfg.Retention == 0 {
		cfg.Retention = DefaultRetention
	}
	if cfg.SweepEvery <= 0 {
		cfg.SweepEvery = DefaultSweepEvery
	}
	if cfg.Memory <= 0 {
		cfg.Memory = DefaultMemory
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
	r := &Relay{cfg: cfg, memory: newMemory(cfg.Memory), pages: newMemory(min(cfg.Memory, maxPages)), guesses: newGuesses(cfg.GuessLimit), pageOrigin: browserOrigin(cfg.Origin)}
	if cfg.Notify != nil {
		r.sender = webhook.New(webhook.Config{Options: *cfg.Notify, Store: cfg.Store, Open: r.openNotice, Now: r.now, Logger: cfg.Logger})
	}
	r.mux = r.routes()
	return r, nil
}

// ParseOrigin gives the origin of claim URLs that a URL without a path names.
func ParseOrigin(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("relay origin %q is not of the form https://host[:port]", text)
	}
	return u.Scheme + "://" + u.Host, nil
}

// now is the time as stores and the API keep it.
func (rl *Relay) now() time.Time { return rl.cfg.Now().UTC().Truncate(time.Millisecond) }

// claimURL is the claim URL of a token.
func (rl *Relay) claimURL(token string) string { return rl.cfg.Origin + api.PathClaim + token }

// idempotent says whether repeated requests are recognised at all.
func (rl *Relay) idempotent() bool { return rl.cfg.Grace > 0 }

// ping asks the store whether it can be read, and waits a short time only.
func (rl *Relay) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return rl.cfg.Store.Ping(ctx)
}

const pingTimeout = 2 * time.Second
