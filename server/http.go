package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"kubbi-mcp/internal/share"
	"kubbi-mcp/internal/webpath"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/tools/files"
)

// HTTPConfig is what an HTTP needs. Connect must be set.
type HTTPConfig struct {
	// Server is what each caller's Server is made with; Client and Caller are
	// set anew for each.
	Server Config

	// Connect gives the client that acts for a caller, which is asked for once
	// and closed when the caller is forgotten.
	Connect func(ctx context.Context, name, apiKey string) (*kubbi.Client, error)

	Tokens  []Token                // who may call; none: whoever can connect
	OwnKeys bool                   // with Tokens: a valid key of the Kubbi API is as good as a token, but for the metrics
	Files   map[string]files.Rules // what callers with a token may touch, by its name; else Server.Files

	PublicURL   string   // under which callers know the server, as https://kubbi.example.com; "": as they say in Host
	Hosts       []string // names that Host may have, beside this machine's own
	Origins     []string // web pages that may call, as https://app.example.com
	Limits      HTTPLimits
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error) // nil: plain HTTP
	Metrics     *Metrics
}

// HTTPLimits bounds what callers may take. A zero field has the default.
type HTTPLimits struct {
	MaxConns      int           // connections open at once, half of them from one address or IPv6 /64; 8,192
	MaxBody       int           // bytes of a request; 72 MiB, the largest package in base64
	MaxSessions   int           // open at once, of one caller; 2,000
	MaxCalls      int           // running at once, of one caller; 256
	MaxTotalCalls int           // running at once, of all callers; 1,024
	MaxTotalBytes int64         // of the requests of running calls, half of it for one caller; four of the largest, 288 MiB at least
	SessionIdle   time.Duration // after which a session without a stream is dropped; 1 h
	HeaderTimeout time.Duration // until a request's headers are there; 10 s
	StallTimeout  time.Duration // in which a body or an answer must have moved on; 30 s
	IdleTimeout   time.Duration // of a connection between requests; 2 min
	Heartbeat     time.Duration // between signs of life on a quiet stream; 25 s
	Drain         time.Duration // for running calls, once the server is told to stop; 15 s
}

// DefaultMaxConns is HTTPLimits.MaxConns, unless it is given.
const DefaultMaxConns = 8192

func (l HTTPLimits) withDefaults() HTTPLimits {
	set(&l.MaxConns, DefaultMaxConns)
	set(&l.MaxBody, DefaultMaxMessageBytes)
	set(&l.MaxSessions, 2000)
	set(&l.MaxCalls, 256)
	set(&l.MaxTotalCalls, 1024)
	set(&l.MaxTotalBytes, 4*int64(max(l.MaxBody, DefaultMaxMessageBytes)))
	set(&l.SessionIdle, time.Hour)
	set(&l.HeaderTimeout, 10*time.Second)
	set(&l.StallTimeout, 30*time.Second)
	set(&l.IdleTimeout, 2*time.Minute)
	set(&l.Heartbeat, 25*time.Second)
	set(&l.Drain, 15*time.Second)
	return l
}

func set[T int | int64 | time.Duration](v *T, to T) {
	if *v == 0 {
		*v = to
	}
}

// HTTP serves MCP to many callers at once: streamable HTTP at /mcp, the older
// SSE transport at /sse and /message, and beside them /healthz and /metrics.
// Each caller has a Server of its own, so that nothing of one is in another's
// reach.
type HTTP struct {
	cfg     HTTPConfig
	limits  HTTPLimits
	log     *slog.Logger
	guard   *guard
	callers *callers
	load    load
	mux     *http.ServeMux

	life context.Context // of streams; ends with Serve
	end  context.CancelFunc
}

// NewHTTP makes an HTTP. It opens nothing and connects to nothing.
func NewHTTP(cfg HTTPConfig) (*HTTP, error) {
	if cfg.Connect == nil {
		return nil, errors.New("new HTTP server: no Connect")
	}
	if cfg.Server.Logger == nil {
		cfg.Server.Logger = slog.New(slog.DiscardHandler)
	}
	g, err := newGuard(cfg.PublicURL, cfg.Hosts, cfg.Origins)
	if err != nil {
		return nil, fmt.Errorf("new HTTP server: %w", err)
	}
	h := &HTTP{cfg: cfg, limits: cfg.Limits.withDefaults(), log: cfg.Server.Logger, guard: g}
	h.load.limits = h.limits
	h.life, h.end = context.WithCancel(context.Background())
	h.callers = newCallers(h)
	h.mux = h.routes()
	return h, nil
}

func (h *HTTP) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for _, slash := range []string{"", "/{$}"} { // some hosts put one at the end
		mux.HandleFunc("/mcp"+slash, h.forCaller(h.serveStreamable))
		mux.HandleFunc("GET /sse"+slash, h.forCaller(h.serveSSE))
		mux.HandleFunc("POST /message"+slash, h.forCaller(h.serveMessage))
		mux.HandleFunc("GET /metrics"+slash, h.forCaller(h.serveMetrics))
		mux.HandleFunc("GET /healthz"+slash, h.serveHealth)
	}
	mux.HandleFunc("GET "+metadataPath, h.serveMetadata)
	mux.HandleFunc("GET "+metadataPath+"/{endpoint}", h.serveMetadata)
	return mux
}

// ServeHTTP implements http.Handler.
func (h *HTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	// A connection that is used again still has the last answer's deadline.
	_ = rc.SetWriteDeadline(time.Now().Add(h.limits.StallTimeout))
	if r.Body != http.NoBody {
		// Of who refuses the request unread, net/http takes what has come by then
		// before it answers.
		_ = rc.SetReadDeadline(time.Now().Add(h.limits.StallTimeout / 2))
	}
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	if p := h.guard.check(r); p != nil {
		h.refuse(w, nil, p)
		return
	}
	if h.guard.cors(w, r) {
		return
	}
	if !webpath.Clean(r.URL.Path) {
		h.refuse(w, nil, refusal(http.StatusNotFound, "path", "No such path: MCP is at /mcp"))
		return
	}
	h.mux.ServeHTTP(w, r)
}

// Serve answers on a listener until ctx ends. Then it drains: it takes no new
// connections and calls, lets running calls answer for as long as Drain says,
// cancels the rest, and ends the streams. It returns nil after that, and closes
// the listener in any case.
func (h *HTTP) Serve(ctx context.Context, l net.Listener) error {
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	// Of HTTP/2, the deadline for a write would end a stream that has nothing to
	// write, or a call that takes its time.
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	srv := &http.Server{
		Handler:           h,
		Protocols:         protocols,
		ReadHeaderTimeout: h.limits.HeaderTimeout,
		IdleTimeout:       h.limits.IdleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(h.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return base },
	}
	if h.cfg.Certificate != nil {
		srv.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: h.cfg.Certificate}
	}
	sweeping := make(chan struct{})
	go func() {
		defer close(sweeping)
		h.callers.sweep(base)
	}()
	l = share.NewListener(l, share.Config{
		Most: h.limits.MaxConns, PerSource: max(1, h.limits.MaxConns/2),
		Source:  func(a net.Addr) netip.Prefix { return networkOf(a.String()) },
		Refused: func() { h.cfg.Metrics.refused("too_many_connections") },
	})
	served := make(chan error, 1)
	go func() {
		if srv.TLSConfig != nil {
			served <- srv.ServeTLS(l, "", "")
			return
		}
		served <- srv.Serve(l)
	}()
	var err error
	select {
	case err = <-served:
		err = fmt.Errorf("serve MCP over HTTP: %w", err)
	case <-ctx.Done():
	}
	h.drain(srv, cancel)
	cancel()
	<-sweeping
	return errors.Join(err, h.callers.close())
}

// drain ends a server without cutting a call short that ends in time.
func (h *HTTP) drain(srv *http.Server, cancel context.CancelFunc) {
	h.log.Info("shutting down", "running_calls", h.load.running())
	grace, stop := context.WithTimeout(context.Background(), h.limits.Drain)
	defer stop()
	closed := make(chan error, 1)
	// A second for what is cancelled below to say so to its client.
	last, end := context.WithTimeout(context.Background(), h.limits.Drain+time.Second)
	defer end()
	go func() { closed <- srv.Shutdown(last) }() // closes the listener first
	if !h.load.close(grace) {
		h.log.Warn("calls are cancelled: they did not end in time", "drain", h.limits.Drain)
		cancel()
	}
	h.callers.endStreams()
	h.end()
	h.load.streams.Wait() // within lastWrite
	if err := <-closed; err != nil {
		_ = srv.Close() // clients that read nothing
	}
}

// maxHeaderBytes bounds a request's headers.
const maxHeaderBytes = 32 << 10

func (h *HTTP) serveHealth(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if h.load.isClosed() {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"status":"draining"}` + "\n"))
		return
	}
	_, _ = w.Write([]byte(`{"status":"ok"}` + "\n"))
}

// serveMetrics answers with the numbers of all callers together. Where tokens are
// configured, they are not for somebody who has none.
func (h *HTTP) serveMetrics(w http.ResponseWriter, r *http.Request, c *caller) {
	if len(h.cfg.Tokens) > 0 && c.token == "" {
		h.refuseCaller(w, r, unauthorized("The metrics are those of all callers, and need a token: Authorization: Bearer TOKEN"))
		return
	}
	h.cfg.Metrics.Handler().ServeHTTP(w, r)
}
