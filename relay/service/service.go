// Package service serves a relay to a team. It adds TLS, limits for connections and
// slow clients, probes, metrics, and a stop that cuts no request short.
//
//	GET /livez   the process answers
//	GET /readyz  the process should get requests: the store answers, its clock and this
//	             machine's clock agree within a second, the keyring has every key that
//	             the store needs, and the process is not about to stop
//	/metrics     for Prometheus; on a listener of its own, with both probes
//	all others   go to the relay
package service

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"kubbi-mcp/internal/httpguard"
	"kubbi-mcp/internal/keyring"
	"kubbi-mcp/internal/prometheus"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
)

// Config configures a service. Relay and Keyring are required.
type Config struct {
	Relay       relay.Config                                         // the service sets Keyring and Observer
	Keyring     *keyring.Live                                        // also the relay's
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error) // nil: plain HTTP
	Version     string                                               // for the metrics
	Limits      Limits
}

// Limits bounds what clients may use. A zero field has the default.
type Limits struct {
	Connections int           // open at the same time; 4,096
	PerAddress  int           // of these, from one address or IPv6 /64 that is no trusted proxy; a quarter: see httpguard.Share
	Requests    int           // running at the same time; 512, and a quarter from one address, like connections
	Header      time.Duration // for the headers of a request; 10 s
	Stall       time.Duration // for a body or an answer, in addition to its time at MinRate; 30 s
	MinRate     int           // bytes in a second that a client must read or write on average; 4 KiB
	Idle        time.Duration // of a connection between requests; 1 min
	LameDuck    time.Duration // in which a stopped service still takes requests, if anybody watches /readyz; 5 s
	Drain       time.Duration // for running requests to end after that; 10 s
}

func (l Limits) withDefaults() Limits {
	set(&l.Connections, 4096)
	set(&l.PerAddress, httpguard.Share(l.Connections))
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
	cancelTime     = time.Second // for cancelled requests to answer their clients
)

// Service is a relay that can be served.
type Service struct {
	cfg       Config
	log       *slog.Logger
	relay     *relay.Relay
	metrics   *metrics
	readiness *readinessProbe
	running   chan struct{} // holds a token for each running request
	handler   http.Handler
}

// New makes a service. It opens no files and no connections.
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
	s.readiness = newReadinessProbe(cfg.Relay.Store, cfg.Keyring, s.log)
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
	s.metrics.waiting = s.relay.Waiting
	mux, limited := http.NewServeMux(), s.limited(s.relay)
	s.addProbes(mux)
	mux.Handle("/", limited)
	s.handler = deadlines{next: onlyClean(mux, limited), stall: cfg.Limits.Stall, rate: cfg.Limits.MinRate}
	return s, nil
}

// Serve serves clients on l, and metrics and probes on scrape unless that is nil, until
// ctx ends. Then it stops in steps: /readyz says "not ready", for Limits.LameDuck if a client
// watches it; new connections are refused; running requests have Limits.Drain to end; the
// rest is cancelled. Serve returns nil when everything has stopped. It always closes the
// listeners.
func (s *Service) Serve(ctx context.Context, l, scrape net.Listener) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	var working sync.WaitGroup
	defer working.Wait()
	defer end()
	for _, run := range []func(context.Context) error{s.relay.Run, s.cfg.Keyring.Run} {
		working.Go(func() { _ = run(life) }) // returns nil when life ends
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
	// A trusted proxy has no limit of its own, because many clients share it.
	clients := httpguard.NewListener(l, httpguard.Config{
		Connections: s.cfg.Limits.Connections, PerClient: s.cfg.Limits.PerAddress,
		Client: s.cfg.Relay.TrustedProxies.Source, Refused: s.metrics.refusedConnection,
	})
	serve(srv, clients, srv.TLSConfig != nil)
	var err error
	select {
	case err = <-failed:
		err = fmt.Errorf("serve relay: %w", err)
	case <-ctx.Done():
		s.announceStop(failed)
	}
	s.drain(srv, end)
	return err
}

// limited limits the requests that run at the same time, in all and from one address. It
// answers other requests with 503 and Retry-After, after which clients of the API retry. A
// request that waits for a change does not count: the relay limits those.
func (s *Service) limited(next http.Handler) http.Handler {
	clients := httpguard.NewCounter(s.cfg.Limits.Requests, httpguard.Share(s.cfg.Limits.Requests))
	proxies := s.cfg.Relay.TrustedProxies
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		source := proxies.SourceOf(r)
		if !clients.Acquire(source) {
			s.refuseRequest(w)
			return
		}
		select {
		case s.running <- struct{}{}:
			end := sync.OnceFunc(func() { <-s.running; clients.Release(source) })
			defer end()
			if r.Header.Get(api.HeaderPrefer) != "" {
				r = r.WithContext(relay.OnWait(r.Context(), end))
			}
			next.ServeHTTP(w, r)
		default:
			clients.Release(source)
			s.refuseRequest(w)
		}
	})
}

func (s *Service) refuseRequest(w http.ResponseWriter) {
	s.metrics.refused.With(refusedRequest).Inc()
	w.Header().Set("Retry-After", strconv.Itoa(1))
	w.Header().Set("Cache-Control", "no-store")
	relay.WriteError(w, api.CodeUnavailable, "the relay has too much to do right now; try again")
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

// scrapeServer serves metrics and probes, and nothing else.
func (s *Service) scrapeServer(life context.Context) *http.Server {
	mux := http.NewServeMux()
	s.addProbes(mux)
	mux.Handle("GET /metrics", s.metrics.handler)
	mux.HandleFunc("/", noSuchPath)
	return &http.Server{
		Handler:           onlyClean(mux, http.HandlerFunc(noSuchPath)),
		ReadHeaderTimeout: s.cfg.Limits.Header,
		ReadTimeout:       s.cfg.Limits.Header,
		WriteTimeout:      2 * prometheus.ScrapeTimeout,
		IdleTimeout:       s.cfg.Limits.Idle,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return life },
	}
}

// onlyClean sends requests that the mux would redirect to other, which answers that the path
// does not exist.
func onlyClean(mux *http.ServeMux, other http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if httpguard.CleanPath(r.URL.Path) {
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

// announceStop makes the service not ready. If a client watches /readyz, it waits, so that
// requests are sent to another node.
func (s *Service) announceStop(failed <-chan error) {
	if !s.readiness.stop() {
		return
	}
	s.log.Info("relay is about to stop: not ready for new requests", "for", s.cfg.Limits.LameDuck)
	select {
	case <-failed:
	case <-time.After(s.cfg.Limits.LameDuck):
	}
}

// drain stops a server. Requests that end in time are not cancelled.
func (s *Service) drain(srv *http.Server, cancel context.CancelFunc) {
	s.log.Info("relay stops", "running_requests", len(s.running))
	s.relay.StopWaits()
	ctx, stop := context.WithTimeout(context.Background(), s.cfg.Limits.Drain)
	defer stop()
	if srv.Shutdown(ctx) == nil {
		return
	}
	s.log.Warn("requests are cancelled: they did not end in time", "running_requests", len(s.running), "drain", s.cfg.Limits.Drain)
	cancel()
	last, stop := context.WithTimeout(context.Background(), cancelTime)
	defer stop()
	if srv.Shutdown(last) != nil {
		_ = srv.Close() // for clients that read nothing
	}
	for range cap(s.running) { // the store is closed next: wait for every handler
		s.running <- struct{}{}
	}
}
