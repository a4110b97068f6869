package server

import (
	"context"
	"crypto/tls"
	"encoding/json"
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
	"kubbi-mcp/server/transport"
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
type HTTPLimits = transport.Limits

// DefaultMaxConns is HTTPLimits.MaxConns, unless it is given.
const DefaultMaxConns = transport.DefaultMaxConns

// HTTP serves MCP to many callers at once: streamable HTTP at /mcp, the older
// SSE transport at /sse and /message, and beside them /healthz and /metrics.
// Each caller has a Server of its own, so that nothing of one is in another's
// reach.
type HTTP struct {
	cfg     HTTPConfig
	log     *slog.Logger
	guard   *transport.WebGuard
	http    *transport.HTTP
	callers *callers
	mux     *http.ServeMux

	taskMemory taskMemory // of all callers together
}

// NewHTTP makes an HTTP. It opens nothing and connects to nothing.
func NewHTTP(cfg HTTPConfig) (*HTTP, error) {
	if cfg.Connect == nil {
		return nil, errors.New("new HTTP server: no Connect")
	}
	if cfg.Server.Logger == nil {
		cfg.Server.Logger = slog.New(slog.DiscardHandler)
	}
	g, err := transport.NewWebGuard(cfg.PublicURL, cfg.Hosts, cfg.Origins, []string{headerAPIKey})
	if err != nil {
		return nil, fmt.Errorf("new HTTP server: %w", err)
	}
	h := &HTTP{cfg: cfg, log: cfg.Server.Logger, guard: g}
	h.http = transport.NewHTTP(transport.HTTPConfig{
		Limits: cfg.Limits, Log: cfg.Server.Logger, Refused: cfg.Metrics.refused, Streams: cfg.Metrics.streamsChanged,
	})
	h.callers = newCallers(h)
	h.mux = h.routes()
	return h, nil
}

func (h *HTTP) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for _, slash := range []string{"", "/{$}"} { // some hosts put one at the end
		mux.HandleFunc("/mcp"+slash, h.forCaller(serveStreamable))
		mux.HandleFunc("GET /sse"+slash, h.forCaller(serveSSE))
		mux.HandleFunc("POST /message"+slash, h.forCaller(serveMessage))
		mux.HandleFunc("GET /metrics"+slash, h.forCaller(h.serveMetrics))
		mux.HandleFunc("GET /healthz"+slash, h.serveHealth)
	}
	mux.HandleFunc("GET "+metadataPath, h.serveMetadata)
	mux.HandleFunc("GET "+metadataPath+"/{endpoint}", h.serveMetadata)
	return mux
}

// ServeHTTP implements http.Handler.
func (h *HTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.http.Begin(w, r)
	if p := h.guard.Check(r); p != nil {
		h.http.Refuse(w, p)
		return
	}
	if h.guard.CORS(w, r) {
		return
	}
	if !webpath.Clean(r.URL.Path) {
		h.http.Refuse(w, transport.Refuse(http.StatusNotFound, "path", "No such path: MCP is at /mcp"))
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
	limits := h.http.Limits()
	srv := &http.Server{
		Handler:           h,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreamsPerConn},
		ReadHeaderTimeout: limits.HeaderTimeout,
		IdleTimeout:       limits.IdleTimeout,
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
		Most: limits.MaxConns, PerSource: max(1, limits.MaxConns/2),
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
	calls, _, _ := h.http.State()
	h.log.Info("shutting down", "running_calls", calls)
	closed := make(chan error, 1)
	last, end := context.WithTimeout(context.Background(), h.http.Limits().Drain+2*time.Second)
	defer end()
	go func() { closed <- srv.Shutdown(last) }() // closes the listener first
	h.http.Drain()
	cancel()
	if err := <-closed; err != nil {
		_ = srv.Close() // clients that read nothing
	}
}

func serveStreamable(w http.ResponseWriter, r *http.Request, c *caller) {
	c.endpoint.ServeStreamable(w, r)
}
func serveSSE(w http.ResponseWriter, r *http.Request, c *caller)     { c.endpoint.ServeSSE(w, r) }
func serveMessage(w http.ResponseWriter, r *http.Request, c *caller) { c.endpoint.ServeMessage(w, r) }

// maxStreamsPerConn bounds the requests on one connection of HTTP/2.
const maxStreamsPerConn = 100

// maxHeaderBytes bounds a request's headers.
const maxHeaderBytes = 32 << 10

func (h *HTTP) serveHealth(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if _, _, draining := h.http.State(); draining {
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

func writeJSON(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, '\n'))
}
