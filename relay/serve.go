package relay

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"kubbi-mcp/kubbi/api"
)

// handler answers a request. If it returns an error, the error is the answer.
type handler func(w http.ResponseWriter, r *http.Request) error

// serve makes the handler of an operation: read decodes the request and checks who
// sent it, do carries it out. Both may set headers of the answer.
func serve[Req, Resp any](status int, read func(http.Header, *http.Request) (Req, error), do func(context.Context, http.Header, Req) (Resp, error)) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		req, err := read(w.Header(), r)
		if err != nil {
			return err
		}
		resp, err := do(r.Context(), w.Header(), req)
		if err != nil {
			return err
		}
		return writeJSON(w, status, resp)
	}
}

// handlerFunc answers with the error of a handler.
func (rl *Relay) handlerFunc(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			rl.answerError(w, r, err)
		}
	}
}

// writeJSON writes a whole answer.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	writeWhole(w, status, body)
	return nil
}

// writeWhole writes a body of known length. It ignores errors, since they mean that the
// client has gone.
func writeWhole(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// acceptPost lists the media types of a create body.
const acceptPost = api.TypeJSON + ", " + api.TypeRaw

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
	// An answer may hold a claim token or a payload. So no cache may keep it, and no
	// browser may guess its type or pass its address on.
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	switch {
	case !muxPath(r):
		rl.answerError(rec, r, fail(api.CodeNotFound, "no such route"))
	case rl.FromOtherSite(r):
		_, r.Pattern = rl.mux.Handler(r) // for the log
		rl.answerError(rec, r, invalid("this request was sent by a page of another site, so nothing was done; open the link itself"))
	default:
		rl.mux.ServeHTTP(rec, r)
	}
}

// recovered answers after a panic. It logs the panic's value only if it is a runtime error:
// any other value may hold secrets.
func (rl *Relay) recovered(rec *recorder, r *http.Request, p any) {
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		rec.abort = true
		return
	}
	what := "panic"
	if err, ok := p.(runtime.Error); ok {
		what = err.Error()
	}
	rl.cfg.Logger.LogAttrs(r.Context(), slog.LevelError, "handler panicked",
		slog.String("method", method(r)), slog.String("route", routePath(r)),
		slog.String("panic", what), slog.String("stack", string(debug.Stack())))
	rl.answerError(rec, r, fail(api.CodeInternal, internalMessage))
}

// FromOtherSite reports whether a page of another site sent a request that could change
// something. It uses the header Sec-Fetch-Site. If the browser did not send that header,
// Origin must match the request's Host or, since a proxy may change the Host, the relay's
// claim URLs. A request without both headers does not come from a browser.
//
// The relay refuses such a request. A handler in front of the relay must not forward it to
// another server.
func (rl *Relay) FromOtherSite(r *http.Request) bool {
	if r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == rl.origin {
		return false
	}
	return rl.sites.Check(r) != nil
}
