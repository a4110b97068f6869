package server

import (
	"cmp"
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

	"golang.org/x/sync/semaphore"

	"kubbi-mcp/internal/httpguard"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/server/transport"
	"kubbi-mcp/tools/files"
)

// HTTPConfig is what an HTTP needs. Connect must be set.
type HTTPConfig struct {
	// Server is the configuration of each caller's Server. Client and Caller are set
	// for each of them.
	Server Config

	// Connect gives the client that acts for a caller. It is called once for a caller,
	// and the client is closed when the caller has been idle for long.
	Connect func(ctx context.Context, name, apiKey string) (*kubbi.Client, error)

	Tokens  []Token                // of the callers; none: anybody who can connect may call
	OwnKeys bool                   // with Tokens: a valid key of the Kubbi API replaces a token, except for the metrics
	Files   map[string]files.Rules // which files callers may use, by the name of their token; else Server.Files

	PublicURL   string   // the server's URL as callers know it, as https://kubbi.example.com; "": made from the Host header
	Hosts       []string // names that the Host header may have, in addition to those of this machine
	Origins     []string // of web pages that may call, as https://app.example.com
	Limits      HTTPLimits
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error) // nil: plain HTTP
	Metrics     *Metrics
}

// HTTPLimits are the limits of callers. A zero field means the default.
type HTTPLimits = transport.Limits

// DefaultMaxConns is the default of HTTPLimits.MaxConns.
const DefaultMaxConns = transport.DefaultMaxConns

// HTTP serves MCP to many callers: streamable HTTP at /mcp, the older SSE transport at
// /sse and /message. It also serves /healthz and /metrics. Each caller has a Server of
// its own, so no caller reaches what belongs to another.
type HTTP struct {
	cfg     HTTPConfig
	log     *slog.Logger
	guard   *transport.WebGuard
	http    *transport.HTTP
	callers *callers
	mux     *http.ServeMux

	taskMemory *semaphore.Weighted // of the tasks of all callers
}

// NewHTTP makes an HTTP. It opens no file and no connection.
func NewHTTP(cfg HTTPConfig) (*HTTP, error) {
	if cfg.Connect == nil {
		return nil, errors.New("new HTTP server: no Connect")
	}
	cfg.Server.Logger = cmp.Or(cfg.Server.Logger, slog.New(slog.DiscardHandler))
	g, err := transport.NewWebGuard(cfg.PublicURL, cfg.Hosts, cfg.Origins, []string{headerAPIKey})
	if err != nil {
		return nil, fmt.Errorf("new HTTP server: %w", err)
	}
	h := &HTTP{cfg: cfg, log: cfg.Server.Logger, guard: g, taskMemory: newTaskMemory()}
	h.http = transport.NewHTTP(transport.HTTPConfig{
		Limits: cfg.Limits, Log: cfg.Server.Logger, Refused: cfg.Metrics.refused, Streams: cfg.Metrics.streamsChanged,
	})
	h.callers = newCallers(h)
	h.mux = h.routes()
	return h, nil
}

func (h *HTTP) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for _, slash := range []string{"", "/{$}"} { // some hosts add one
		mux.HandleFunc("/mcp"+slash, h.forEndpoint((*transport.Endpoint).ServeStreamable))
		mux.HandleFunc("GET /sse"+slash, h.forEndpoint((*transport.Endpoint).ServeSSE))
		mux.HandleFunc("POST /message"+slash, h.forEndpoint((*transport.Endpoint).ServeMessage))
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
	if !httpguard.CleanPath(r.URL.Path) {
		h.http.Refuse(w, transport.Refuse(http.StatusNotFound, "path", "No such path: MCP is at /mcp"))
		return
	}
	h.mux.ServeHTTP(w, r)
}

// Serve serves a listener until ctx ends, and closes it. At the end it takes no new
// connections and calls, gives running calls the time that HTTPLimits.Drain says,
// cancels the others, ends the streams, and returns nil.
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
	l = httpguard.NewListener(l, httpguard.Config{
		Connections: limits.MaxConns, PerClient: max(1, limits.MaxConns/2),
		Client:  func(a net.Addr) netip.Prefix { return networkOf(a.String()) },
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

// drain shuts a server down. Calls that end in time are answered.
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
		_ = srv.Close() // some clients don't read
	}
}

const (
	maxStreamsPerConn = 100      // requests on one connection of HTTP/2
	maxHeaderBytes    = 32 << 10 // of a request
)

func (h *HTTP) serveHealth(w http.ResponseWriter, _ *http.Request) {
	status, code := "ok", http.StatusOK
	if _, _, draining := h.http.State(); draining {
		status, code = "draining", http.StatusServiceUnavailable
	}
	writeJSON(w, code, map[string]string{"status": status})
}

// serveMetrics serves the metrics of all callers. Where tokens are configured, a caller
// needs one.
func (h *HTTP) serveMetrics(c *caller, w http.ResponseWriter, r *http.Request) {
	if len(h.cfg.Tokens) > 0 && c.token == "" {
		h.refuseCaller(w, r, unauthorized("The metrics are those of all callers, and need a token: Authorization: Bearer TOKEN"))
		return
	}
	h.cfg.Metrics.Handler().ServeHTTP(w, r)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // fails if the client has gone
}
