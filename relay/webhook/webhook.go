// Package webhook notifies producers of events of their kubbis. It leases notices from a
// store and posts them as signed receipts (Standard Webhooks specification 1.0.0). It retries
// a receipt until the receiver accepts it or the last attempt has failed.
//
// Since notices are leased, any number of nodes may deliver from one store. If a node dies,
// another node delivers the notices that it had leased. So a receipt may arrive twice, with
// the same id.
package webhook

import (
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"kubbi-mcp/relay/store"
)

// Options are the settings of an operator. The zero value posts to https on the public
// internet.
type Options struct {
	// Allow lists addresses of receivers in a closed network. They may get receipts
	// too, also over plain http.
	Allow []netip.Prefix
	// RootCAs verify the certificates of receivers; nil: the system's.
	RootCAs *x509.CertPool
	// Resolver resolves the names of receivers; nil: the system's.
	Resolver *net.Resolver
	// Poll is about how often the store is read, besides the calls of Wake; zero: 1 s.
	Poll time.Duration
	// Observe is called after every attempt, by many goroutines; may be nil.
	Observe func(Outcome)
}

// Outcome is the outcome of an attempt, and a label of a metric.
type Outcome string

// The outcomes.
const (
	Delivered Outcome = "delivered"
	Failed    Outcome = "failed"   // it will be tried again
	GivenUp   Outcome = "given_up" // the last attempt failed, or the receiver is gone for good
)

// Config configures a Sender. All fields except Options are required.
type Config struct {
	Options
	Store store.Store
	// Open returns the target and the receipt of a notice. If there is no receipt for its
	// event, the receipt is nil. Open must be fast.
	Open   func(*store.Notice) (*Target, *Receipt, error)
	Now    func() time.Time
	Logger *slog.Logger
}

// Sender delivers notices.
type Sender struct {
	cfg   Config
	https *http.Client // to public and allowed addresses
	plain *http.Client // http without TLS, to allowed addresses only
	wake  chan struct{}
}

// New makes a Sender.
func New(cfg Config) *Sender {
	if cfg.Poll <= 0 {
		cfg.Poll = time.Second
	}
	if cfg.Observe == nil {
		cfg.Observe = func(Outcome) {}
	}
	return &Sender{cfg: cfg, https: cfg.client(cfg.publicOrAllowed), plain: cfg.client(cfg.allows), wake: make(chan struct{}, 1)}
}

// Wake makes Run look for notices at once. It does not block.
func (s *Sender) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
