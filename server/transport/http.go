package transport

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"time"
)

// HTTPConfig is what an HTTP needs.
type HTTPConfig struct {
	Limits  Limits
	Log     *slog.Logger
	Refused func(reason string)            // called for each refusal; may be nil
	Streams func(transport string, by int) // called when a stream begins (1) and ends (-1); may be nil
}

// HTTP is what the HTTP transports of all callers share: the limits, the load and the
// shutdown. Each caller has an Endpoint.
type HTTP struct {
	cfg    HTTPConfig
	limits Limits
	load   load

	life      context.Context // of sessions and streams
	end       context.CancelFunc
	calls     context.Context // of all calls
	stopCalls context.CancelFunc
}

// NewHTTP makes an HTTP.
func NewHTTP(cfg HTTPConfig) *HTTP {
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	if cfg.Refused == nil {
		cfg.Refused = func(string) {}
	}
	if cfg.Streams == nil {
		cfg.Streams = func(string, int) {}
	}
	h := &HTTP{cfg: cfg, limits: cfg.Limits.withDefaults()}
	h.load.limits = h.limits
	h.life, h.end = context.WithCancel(context.Background())
	h.calls, h.stopCalls = context.WithCancel(context.Background())
	return h
}

// Limits gives the limits, none of them zero.
func (h *HTTP) Limits() Limits { return h.limits }

// State gives how many calls run, how many bytes of requests are held, and whether
// Drain has been called.
func (h *HTTP) State() (calls int, bytes int64, draining bool) { return h.load.state() }

// Quiet reports whether no call runs and no call or stream has begun since Quiet was
// last called. It returns true once in each pause.
func (h *HTTP) Quiet() bool { return h.load.quiet() }

// cancelGrace is the time for calls that Drain has cancelled to answer.
const cancelGrace = time.Second

// Drain refuses new calls and waits for those that run, for Limits.Drain at most. Then it
// cancels the rest, and ends all sessions and streams.
func (h *HTTP) Drain() {
	grace, stop := context.WithTimeout(context.Background(), h.limits.Drain)
	defer stop()
	if !h.load.close(grace) {
		h.cfg.Log.Warn("calls are cancelled: they did not end in time", "drain", h.limits.Drain)
		h.stopCalls()
		last, stop := context.WithTimeout(context.Background(), cancelGrace)
		defer stop()
		h.load.close(last)
	}
	h.end()
}

// Begin prepares the answer to a request, before anything is read or written.
func (h *HTTP) Begin(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	// A connection that is used again still has the last answer's deadline.
	_ = rc.SetWriteDeadline(time.Now().Add(h.limits.StallTimeout))
	if r.Body != http.NoBody {
		// If a handler answers without reading the body, net/http discards what
		// has arrived so far.
		_ = rc.SetReadDeadline(time.Now().Add(h.limits.StallTimeout / 2))
	}
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
}
