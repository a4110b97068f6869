// Package service serves a relay to a team: TLS, limits on connections and
// slow clients, probes, metrics, and an end that cuts no request short.
//
//	GET /livez   the process answers
//	GET /readyz  it should be sent requests: the store answers, its clock and this
//	             machine's agree within a second, the keyring has every key
//	             that the store needs, and it is not about to stop
//	/metrics     for Prometheus, and both probes: only on a listener of their own
//	the rest     is the relay's
package service

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"kubbi-mcp/internal/keyring"
	"kubbi-mcp/internal/share"
	"kubbi-mcp/internal/webpath"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
)

// Config is what a service needs. Relay, without an Observer, and Keyring must
// be given.
type Config struct {
	Relay       relay.Config
	Keyring     *keyring.Live                                        // Relay.Keyring is this one
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error) // nil: plain HTTP
	Version     string                                               // for the metrics
	Limits      Limits
}

// Limits bounds what clients may take. A zero field has the default.
type Limits struct {
	Connections int           // open at once; 4,096
	PerAddress  int           // of these, of one address or IPv6 /64 that is no trusted proxy; a quarter: see share.Of
	Requests    int           // running at once; 512, a quarter of one address, as of connections
	Header      time.Duration // until a request's headers are there; 10 s
	Stall       time.Duration // for a body or an answer, beside what it takes at MinRate; 30 s
	MinRate     int           // bytes in a second that a client must read or write at least, on average; 4 KiB
	Idle        time.Duration // of a connection between requests; 1 min
	LameDuck    time.Duration // in which a stopped service still takes requests, if somebody asks whether it is ready; 5 s
	Drain       time.Duration // for running requests to end by themselves after that; 10 s
}

func (l Limits) withDefaults() Limits {
	set(&l.Connections, 4096)
	set(&l.PerAddress, share.Of(l.Connections))
	set(&l.Requests, 512)
	set(&l.Header, 10*time.Second)
	set(&l.Stall, 30*time.Second)
	set(&l.MinRate, 4<<10)
	set(&l.Idle, time.Minute)
	set(&l.LameDuck, 5*time.Second)
	set(&l.Drain, 10*time.Second)
	return l
}

func set[T int | time.Duration](v *T, to T) {
	if *v == 0 {
		*v = to
	}
}

const (
	maxHeaderBytes = 32 << 10
	maxStreams     = 100         // of an HTTP/2 connection
	lastWords      = time.Second // for what is cancelled at the end to say so to its client
)

// Service is a relay that can be served.
type Service struct {
	cfg     Config
	log     *slog.Logger
	relay   *relay.Relay
	metrics *metrics
	health  health
	running chan struct{} // holds a token for each running request
	handler http.Handler
}

// New makes a service. It opens nothing and listens nowhere.
func New(cfg Config) (*Service, error) {
	cfg.Limits = cfg.Limits.withDefaults()
	if cfg.Relay.Logger == nil {
		cfg.Relay.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Keyring == nil || cfg.Relay.Store == nil {
		return nil, errors.New("relay service needs a store and a keyring")
	}
	s := &Service{cfg: cfg, log: cfg.Relay.Logger, running: make(chan struct{}, cfg.Limits.Requests)}
	s.metrics = newMetrics(cfg.Version, cfg.Relay.Store)
	s.health = health{store: cfg.Relay.Store, keyring: cfg.Keyring, log: s.log}
	cfg.Relay.Keyring, cfg.Relay.Observer = cfg.Keyring, s.metrics
	cfg.Relay.Store = s.metrics.counting(cfg.Relay.Store)
	if cfg.Relay.Notify != nil {
		options := *cfg.Relay.Notify
		options.Observe = s.metrics.receipt
		cfg.Relay.Notify = &options
	}
	var err error
	if s.relay, err = relay.New(cfg.Relay); err != nil {
		return nil, err
	}
	mux, limited := http.NewServeMux(), s.limited(s.relay)
	s.probes(mux)
	mux.Handle("/", limited)
	s.handler = paced{next: onlyClean(mux, limited), stall: cfg.Limits.Stall, rate: cfg.Limits.MinRate}
	return s, nil
}

// Serve serves clients on l, and metrics and probes on scrape unless that is
// nil, until ctx ends. Then it says on /readyz that it stops, goes on for
// Limits.LameDuck if somebody has asked there, takes no new connections, lets
// running requests end for Limits.Drain, and cancels the rest. It returns nil
// after that, when nothing of it runs any more, and closes the listeners in any
// case.
func (s *Service) Serve(ctx context.Context, l, scrape net.Listener) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var working sync.WaitGroup
	defer working.Wait()
	defer end()
	for _, run := range []func(context.Context) error{s.relay.Run, s.cfg.Keyring.Run} {
		working.Go(func() { _ = run(life) }) // nil, at the end of life
	}
	failed := make(chan error, 2)
	var serving sync.WaitGroup
	defer serving.Wait()
	serve := func(srv *http.Server, l net.Listener, tls bool) {
		serving.Go(func() {
			var err error
			if tls {
				err = srv.ServeTLS(l, "", "")
			} else {
				err = srv.Serve(l)
			}
			if !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
	}
	if scrape != nil {
		own := s.scrapeServer(life)
		defer own.Close()
		serve(own, scrape, false)
	}
	srv := s.clientServer(life)
	// A trusted proxy has no share of its own, since everybody comes through it.
	clients := share.NewListener(l, share.Config{
		Most: s.cfg.Limits.Connections, PerSource: s.cfg.Limits.PerAddress,
		Source: s.cfg.Relay.TrustedProxies.Source, Refused: s.metrics.refusedConnection,
	})
	serve(srv, clients, srv.TLSConfig != nil)
	var err error
	select {
	case err = <-failed:
		err = fmt.Errorf("serve relay: %w", err)
	case <-ctx.Done():
		s.lameDuck(failed)
	}
	s.drain(srv, end)
	return err
}

func (s *Service) clientServer(life context.Context) *http.Server {
	srv := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: s.cfg.Limits.Header,
		IdleTimeout:       s.cfg.Limits.Idle,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return life },
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
	}
	if s.cfg.Certificate != nil {
		srv.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.cfg.Certificate}
	}
	return srv
}

// scrapeServer serves metrics and probes, to those who read them alone.
func (s *Service) scrapeServer(life context.Context) *http.Server {
	mux := http.NewServeMux()
	s.probes(mux)
	mux.Handle("GET /metrics", s.metrics.handler)
	mux.HandleFunc("/", noSuchPath)
	return &http.Server{
		Handler:           onlyClean(mux, http.HandlerFunc(noSuchPath)),
		ReadHeaderTimeout: s.cfg.Limits.Header,
		ReadTimeout:       s.cfg.Limits.Header,
		WriteTimeout:      2 * scrapePatience,
		IdleTimeout:       s.cfg.Limits.Idle,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return life },
	}
}

// onlyClean lets a mux have the requests that it would not redirect. The others
// are for other, which knows no such path.
func onlyClean(mux *http.ServeMux, other http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if webpath.Clean(r.URL.Path) {
			mux.ServeHTTP(w, r)
		} else {
			other.ServeHTTP(w, r)
		}
	})
}

func noSuchPath(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	relay.WriteError(w, api.CodeNotFound, "no such path")
}

// lameDuck goes on serving until those who watch /readyz have had time to see
// that they should send requests elsewhere. If nobody watches, nobody would.
func (s *Service) lameDuck(failed <-chan error) {
	if !s.health.stop() {
		return
	}
	s.log.Info("relay is about to stop: not ready for new requests", "for", s.cfg.Limits.LameDuck)
	select {
	case <-failed:
	case <-time.After(s.cfg.Limits.LameDuck):
	}
}

// drain ends a server without cutting a request short that ends in time.
func (s *Service) drain(srv *http.Server, cancel context.CancelFunc) {
	s.log.Info("relay stops", "running_requests", len(s.running))
	ctx, stop := context.WithTimeout(context.Background(), s.cfg.Limits.Drain)
	defer stop()
	if srv.Shutdown(ctx) == nil {
		return
	}
	s.log.Warn("requests are cancelled: they did not end in time", "running_requests", len(s.running), "drain", s.cfg.Limits.Drain)
	cancel()
	last, stop := context.WithTimeout(context.Background(), lastWords)
	defer stop()
	if srv.Shutdown(last) != nil {
		_ = srv.Close() // clients that read nothing
	}
	for range cap(s.running) { // a cancelled handler must have left the store before it is closed
		s.running <- struct{}{}
	}
}
