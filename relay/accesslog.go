package relay

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"kubbi-mcp/internal/tracecontext"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/store"
)

// Observer is called after requests and sweeps, for metrics. Many goroutines call
// its methods, which must not block.
type Observer interface {
	Request(Request)
	Sweep(swept store.Swept, took time.Duration, err error)
}

// Request describes a request that was answered. Its strings come from small fixed sets,
// never from the client.
type Request struct {
	Operation   Operation
	Outcome     string // OutcomeOK, the api.Code of the answer, or OutcomeAborted
	AnswerBytes int64
	Took        time.Duration // without the time in which it waited for a change
}

// The outcomes that are not an api.Code.
const (
	OutcomeOK      = "ok"
	OutcomeAborted = "aborted" // the answer was cut off: the client went away, or a payload did not open
)

// recorder records status, error code and size of an answer.
type recorder struct {
	http.ResponseWriter
	status int      // 0: not begun
	code   api.Code // of an error answer
	bytes  int64
	waited time.Duration // for a change
	abort  bool          // the connection must be closed, so that the client sees an incomplete answer
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

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (rl *Relay) observe(rec *recorder, r *http.Request, took time.Duration) {
	if rl.cfg.Observer == nil {
		return
	}
	outcome := OutcomeOK
	switch {
	case rec.abort:
		outcome = OutcomeAborted
	case rec.code != "":
		outcome = string(rec.code)
	}
	rl.cfg.Observer.Request(Request{Operation: rl.operation(r), Outcome: outcome, AnswerBytes: rec.bytes, Took: took - rec.waited})
}

func (rl *Relay) logRequest(rec *recorder, r *http.Request, took time.Duration) {
	level := slog.LevelDebug
	if rl.cfg.AccessLog && rl.operation(r) != OpHealth {
		level = slog.LevelInfo
	}
	if !rl.cfg.Logger.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", method(r)), slog.String("route", routePath(r)), slog.Int("status", rec.status),
		slog.Int64("request_bytes", max(r.ContentLength, 0)), slog.Int64("answer_bytes", rec.bytes),
		slog.Duration("duration", took),
	}
	if from := rl.cfg.TrustedProxies.Client(r); from.IsValid() {
		attrs = append(attrs, slog.String("client", from.String()))
	}
	if id := r.PathValue(keyIDValue); id != "" {
		attrs = append(attrs, slog.String("key", id))
	}
	if parents := r.Header.Values(tracecontext.HeaderParent); len(parents) == 1 {
		if tp, ok := tracecontext.ParseParent(parents[0]); ok {
			attrs = append(attrs, slog.String("trace_id", tp.TraceID))
		}
	}
	rl.cfg.Logger.LogAttrs(r.Context(), level, "request", attrs...)
}

// keyIDValue names the path value that holds the KeyID of a producer's request. No
// route has a wildcard of this name.
const keyIDValue = "the id of its API key"

// routePath is the path of a request's route, with wildcards in place of values.
func routePath(r *http.Request) string {
	if _, path, ok := strings.Cut(r.Pattern, " "); ok {
		return path
	}
	if r.Pattern != "" {
		return r.Pattern
	}
	return "/"
}

// method is the request's method if HTTP defines it, else "other".
func method(r *http.Request) string {
	switch r.Method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE":
		return r.Method
	}
	return "other"
}
