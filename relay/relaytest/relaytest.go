// Package relaytest starts a real relay for tests: the embedded relay of a
// temporary data directory, over HTTP on a free loopback port.
package relaytest

import (
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/local"
)

// Server is a running relay. It ends with the test.
type Server struct {
	URL    string // its origin, also of its claim URLs
	APIKey string // of the owner local.Owner
	Dir    string // its data directory
	Clock  *Clock // the relay's clock
	Local  *local.Relay
}

// Option changes the relay that New starts.
type Option func(*options)

type options struct {
	cfg   local.Config
	clock *Clock
}

// WithLimits sets what the relay accepts.
func WithLimits(l api.Limits) Option { return func(o *options) { o.cfg.Limits = l } }

// WithGrace sets how long a create or claim may be repeated; negative: not at all.
func WithGrace(d time.Duration) Option { return func(o *options) { o.cfg.Grace = d } }

// WithLogger sets where the relay logs; without it nothing is logged.
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.cfg.Logger = l } }

// WithDir sets the data directory, which New does not remove.
func WithDir(dir string) Option { return func(o *options) { o.cfg.Dir = dir } }

// WithClock sets the clock, to stop it or to share it among relays.
func WithClock(c *Clock) Option { return func(o *options) { o.clock = c } }

// New starts a relay that ends with the test.
func New(t testing.TB, opts ...Option) *Server {
	t.Helper()
	o := options{clock: &Clock{}}
	for _, opt := range opts {
		opt(&o)
	}
	if o.cfg.Dir == "" {
		o.cfg.Dir = t.TempDir()
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("relaytest: %v", err)
	}
	o.cfg.Origin = "http://" + ln.Addr().String()
	o.cfg.Now = o.clock.Now
	r, err := local.New(o.cfg)
	if err != nil {
		_ = ln.Close()
		t.Fatalf("relaytest: %v", err)
	}
	srv := &http.Server{Handler: r.Handler(), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(ln) // ends with Close
	}()
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Errorf("relaytest: close server: %v", err)
		}
		<-served
		if err := r.Close(); err != nil {
			t.Errorf("relaytest: close relay: %v", err)
		}
	})
	key, err := r.APIKey(t.Context())
	if err != nil {
		t.Fatalf("relaytest: %v", err)
	}
	return &Server{URL: o.cfg.Origin, APIKey: key, Dir: o.cfg.Dir, Clock: o.clock, Local: r}
}

// Sweep sweeps the relay now.
func (s *Server) Sweep(t testing.TB) {
	t.Helper()
	if err := s.Local.Sweep(t.Context()); err != nil {
		t.Fatalf("relaytest: %v", err)
	}
}

// Clock is a clock that a test can move forward. Its zero value runs with the machine's
// clock; a clock from StoppedAt moves only by Advance.
type Clock struct {
	mu      sync.Mutex
	stopped time.Time
	ahead   time.Duration
}

// StoppedAt makes a clock that stands still at t.
func StoppedAt(t time.Time) *Clock { return &Clock{stopped: t} }

// Now is the time for the relay.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stopped.IsZero() {
		return c.stopped.Add(c.ahead)
	}
	return time.Now().Add(c.ahead)
}

// Advance moves the clock forward.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}
