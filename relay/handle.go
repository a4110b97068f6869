package relay

import (
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"kubbi-mcp/internal/tracecontext"
	"kubbi-mcp/internal/webpath"
	"kubbi-mcp/kubbi/api"
)

// handler is a route whose error becomes the answer, unless it has begun one.
type handler func(w http.ResponseWriter, r *http.Request) error

// serveJSON makes a route of a function from a request to an answer's body.
// The function may set headers.
func serveJSON[Resp any](rl *Relay, status int, f func(h http.Header, r *http.Request) (Resp, error)) http.HandlerFunc {
	return rl.serve(func(w http.ResponseWriter, r *http.Request) error {
		resp, err := f(w.Header(), r)
		if err != nil {
			return err
		}
		body, err := json.Marshal(resp)
		if err != nil {
			return err
		}
		return writeJSON(w, status, body)
	})
}

// serve makes a route of a handler.
func (rl *Relay) serve(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			rl.answerError(w, r, err)
		}
	}
}

// writeJSON writes a whole answer. A failure to do so is the client's going
// away, and nobody is left to tell.
func writeJSON(w http.ResponseWriter, status int, body []byte) error {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
	return nil
}

// ServeHTTP answers one request.
func (rl *Relay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	rec := &recorder{ResponseWriter: w}
	defer func() {
		if p := recover(); p != nil {
			rl.recovered(rec, r, p)
		}
		took := time.Since(start)
		rl.logRequest(rec, r, took)
		rl.observe(rec, r, took)
		if rec.abort {
			panic(http.ErrAbortHandler) // the client must not take a cut answer for a whole one
		}
	}()
	h := rec.Header()
	if v, _ := apiVersion(r.URL.Path); v == api.Version {
		h.Set(api.HeaderVersion, api.Version)
	}
	if r.URL.Path == api.PathHealth || r.URL.Path == api.PathKubbis {
		h.Set(api.HeaderFileNames, api.FileNamesAny)
		h.Set(api.HeaderAcceptPost, acceptPost)
	}
	// An answer may hold a claim token or a payload: no cache keeps it, no
	// browser guesses at it or passes its address on.
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method == http.MethodConnect || !webpath.Clean(r.URL.Path) {
		rl.answerError(rec, r, fail(api.CodeNotFound, "no such route"))
		return
	}
	if rl.FromOtherSite(r) {
		_, r.Pattern = rl.mux.Handler(r) // for the log
		rl.answerError(rec, r, errOtherSite())
		return
	}
	rl.mux.ServeHTTP(rec, r)
}

// acceptPost names the media types that a create may have.
const acceptPost = api.TypeJSON + ", " + api.TypeRaw

func (rl *Relay) logRequest(rec *recorder, r *http.Request, took time.Duration) {
	level := slog.LevelDebug
	if rl.cfg.AccessLog && operation(r) != OpHealth {
		level = slog.LevelInfo
	}
	if !rl.cfg.Logger.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", method(r)), slog.String("route", shape(r)), slog.Int("status", rec.status),
		slog.Int64("request_bytes", max(r.ContentLength, 0)), slog.Int64("answer_bytes", rec.bytes),
		slog.Duration("duration", took),
	}
	if from := rl.cfg.TrustedProxies.Client(r); from.IsValid() {
		attrs = append(attrs, slog.String("client", from.String()))
	}
	if id := r.PathValue(keyValue); id != "" {
		attrs = append(attrs, slog.String("key", id))
	}
	if parents := r.Header.Values(tracecontext.HeaderParent); len(parents) == 1 {
		if tp, ok := tracecontext.ParseParent(parents[0]); ok {
			attrs = append(attrs, slog.String("trace_id", tp.TraceID))
		}
	}
	rl.cfg.Logger.LogAttrs(r.Context(), level, "request", attrs...)
}

// recovered answers a panic. What it panicked with may hold anything, so only
// a runtime error, which holds indexes and types, is logged.
func (rl *Relay) recovered(rec *recorder, r *http.Request, p any) {
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		rec.abort = true
		return
	}
	what := "panic"
	if err, ok := p.(interface {
		error
		RuntimeError()
	}); ok {
		what = err.Error()
	}
	rl.cfg.Logger.LogAttrs(r.Context(), slog.LevelError, "handler panicked",
		slog.String("method", method(r)), slog.String("route", shape(r)),
		slog.String("panic", what), slog.String("stack", string(debug.Stack())))
	rl.answerError(rec, r, fail(api.CodeInternal, internalMessage))
}

// shape is the route of a request without what its path holds.
func shape(r *http.Request) string {
	if r.Pattern == "" {
		return "/"
	}
	for i := range len(r.Pattern) {
		if r.Pattern[i] == '/' {
			return r.Pattern[i:]
		}
	}
	return r.Pattern
}

// method is the request's method, if it is one that has a name.
func method(r *http.Request) string {
	switch r.Method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE":
		return r.Method
	}
	return "other"
}

// recorder notes what an answer has come to.
type recorder struct {
	http.ResponseWriter
	status int      // 0: not begun
	code   api.Code // of the error that it is
	bytes  int64
	abort  bool
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController through.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
