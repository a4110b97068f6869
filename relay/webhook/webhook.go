// Package webhook tells the producers of kubbis what happens to them: it takes
// notices from a store and posts them as signed receipts, as the Standard
// Webhooks specification 1.0.0 has it, again and again until the receiver has
// taken them or they are given up.
//
// Notices are leased, so any number of nodes may deliver from one store, and
// what a node had in hand when it died is delivered by another. A receipt may
// thus arrive twice, with the same id.
package webhook

import (
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

// DefaultPoll is the Poll of Options that say nothing.
const DefaultPoll = time.Second

// Options are what an operator decides. The zero value posts to https on the
// public internet.
type Options struct {
	// Allow are addresses that may be told beside those of the public internet,
	// over plain http as well: receivers within a closed network.
	Allow []netip.Prefix
	// RootCAs are who may vouch for receivers; nil: the system's.
	RootCAs *x509.CertPool
	// Resolver finds the addresses of receivers; nil: the system's.
	Resolver *net.Resolver
	// Poll is about how long the store is left alone when no event of this node
	// calls for a look; zero: DefaultPoll.
	Poll time.Duration
	// Observe is told of every attempt, from many goroutines; nil: nobody is.
	Observe func(Outcome)
}

// Outcome is what has come of an attempt. Its text suits a metric's label.
type Outcome string

// The outcomes.
const (
	Delivered Outcome = "delivered"
	Failed    Outcome = "failed"   // and will be tried again
	GivenUp   Outcome = "given_up" // the last attempt failed, or the receiver is gone for good
)

// Config is what a Sender needs. All fields but Options must be given.
type Config struct {
	Options
	Store store.Store
	// Open gives who is to be told of a notice, and the receipt. It takes no time.
	Open   func(*store.Notice) (*Target, *api.Receipt, error)
	Now    func() time.Time
	Logger *slog.Logger
}

// Sender delivers notices.
type Sender struct {
	cfg    Config
	public *http.Client // for https
	inner  *http.Client // for plain http: allowed addresses only
	wake   chan struct{}
}

// New makes a Sender.
func New(cfg Config) *Sender {
	if cfg.Poll <= 0 {
		cfg.Poll = DefaultPoll
	}
	if cfg.Observe == nil {
		cfg.Observe = func(Outcome) {}
	}
	return &Sender{cfg: cfg, public: cfg.client(cfg.mayBeTold), inner: cfg.client(cfg.allows), wake: make(chan struct{}, 1)}
}

// Wake has Run look for notices at once. It does not wait.
func (s *Sender) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
