package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"kubbi-mcp/internal/origin"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/store"
)

// maxBuffered is the longest answer that is handed over whole, in bytes. A longer one
// is a stream.
const maxBuffered = 64 << 10

// RoundTripper makes a transport that serves requests to the relay's Origin within
// this process, with the same handler as over HTTP. All other requests go to next. The
// first request opens the relay. If that fails, the answer is an error of the API that
// says why. A producer request without Authorization gets the directory's own API key.
func (r *Relay) RoundTripper(next http.RoundTripper) http.RoundTripper {
	return &transport{relay: r, next: next}
}

type transport struct {
	relay *Relay
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if !t.relay.owns(req.URL) {
		return t.next.RoundTrip(req)
	}
	if !t.relay.begin() {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, ErrClosed
	}
	ctx, cancel := t.relay.joined(req.Context())
	w := &answer{ctx: ctx, cancel: cancel, req: req, header: http.Header{}, ready: make(chan result, 1)}
	go func() {
		defer t.relay.calls.Done()
		if req.Body != nil {
			defer req.Body.Close()
		}
		defer func() { w.finish(recover()) }()
		t.serve(w, req)
	}()
	return w.wait()
}

// serve answers a client's request as a server would.
func (t *transport) serve(w *answer, req *http.Request) {
	o, err := t.relay.opened(w.ctx)
	if err != nil {
		code := api.CodeInternal
		if errors.Is(err, store.ErrUnavailable) {
			code = api.CodeUnavailable
		}
		// The caller is the directory's user, who may read the reason.
		relay.WriteError(w, code, "the embedded relay can't use its data directory", err.Error())
		return
	}
	// A reverse proxy only panics over a cut answer if it believes that a server runs it.
	in := req.Clone(context.WithValue(w.ctx, http.ServerContextKey, (*http.Server)(nil)))
	in.RequestURI = req.URL.RequestURI()
	in.RemoteAddr = inProcessAddr
	if in.Host == "" {
		in.Host = req.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	if in.ContentLength == 0 && in.Body != http.NoBody {
		in.ContentLength = -1 // in a client's request 0 means unknown
	}
	if in.Header == nil {
		in.Header = http.Header{}
	}
	if strings.HasPrefix(in.URL.Path, api.PathKubbis) && in.Header.Get("Authorization") == "" {
		in.Header.Set("Authorization", "Bearer "+o.apiKey)
	}
	t.relay.handler.ServeHTTP(w, in)
	if token := claimToken(in.URL.Path); token != "" && w.status == http.StatusNotFound && w.pipe == nil {
		w.forget()
		relay.WriteError(w, api.CodeNotFound, "no such kubbi", t.relay.whyUnknown(w.ctx, o.self, token)...)
	}
}

// inProcessAddr is the remote address of a request from this process. No connection
// has such an address.
const inProcessAddr = "in-process"

func inProcess(r *http.Request) bool { return r.RemoteAddr == inProcessAddr }

// owns reports whether a URL has the relay's origin.
func (r *Relay) owns(u *url.URL) bool {
	o, err := origin.FromURL(u)
	return err == nil && o == r.origin
}

// answer is the http.ResponseWriter of one call. It hands a short answer to the client
// whole. A longer answer is a stream, and the handler waits for the client to read it.
type answer struct {
	ctx    context.Context
	cancel context.CancelFunc
	req    *http.Request
	ready  chan result // gets one result

	// Only the handler's goroutine uses these.
	header http.Header
	status int
	sent   http.Header // header as it was when the status was written
	buf    []byte
	pipe   *io.PipeWriter // set once the answer is a stream
}

type result struct {
	resp *http.Response
	err  error
}

func (w *answer) Header() http.Header { return w.header }

func (w *answer) WriteHeader(status int) {
	if w.status == 0 {
		w.status, w.sent = status, w.header.Clone()
	}
}

func (w *answer) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.req.Method == http.MethodHead {
		return len(b), nil
	}
	if w.pipe == nil {
		if len(w.buf)+len(b) <= maxBuffered {
			w.buf = append(w.buf, b...)
			return len(b), nil
		}
		r, pw := io.Pipe()
		w.pipe = pw
		context.AfterFunc(w.ctx, func() { pw.CloseWithError(w.ctx.Err()) })
		w.ready <- result{resp: w.response(&stream{r, w.cancel}, -1)}
		if _, err := pw.Write(w.buf); err != nil {
			return 0, err
		}
		w.buf = nil
	}
	return w.pipe.Write(b)
}

// forget drops an answer of which nothing was handed over.
func (w *answer) forget() {
	w.status, w.sent, w.buf = 0, nil, nil
	w.header.Del("Content-Length")
}

// finish ends the answer when the handler has returned, or panicked.
func (w *answer) finish(panicked any) {
	switch {
	case w.pipe == nil && panicked == nil:
		w.WriteHeader(http.StatusOK)
		w.ready <- result{resp: w.response(io.NopCloser(bytes.NewReader(w.buf)), int64(len(w.buf)))}
	case w.pipe == nil:
		w.ready <- result{err: io.ErrUnexpectedEOF}
	case panicked == nil:
		w.pipe.Close()
	case w.ctx.Err() != nil: // the reason of the panic
		w.pipe.CloseWithError(w.ctx.Err())
	default:
		w.pipe.CloseWithError(io.ErrUnexpectedEOF)
	}
	w.cancel() // the pipe keeps its first error
}

func (w *answer) response(body io.ReadCloser, length int64) *http.Response {
	if n, err := strconv.ParseInt(w.sent.Get("Content-Length"), 10, 64); err == nil {
		length = n
	}
	return &http.Response{
		Status:     fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)),
		StatusCode: w.status,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: body, ContentLength: length, Request: w.req,
	}
}

// wait returns the answer once it is whole or a stream. A cancelled request gets no
// answer, whatever the handler wrote about a body that ended early.
func (w *answer) wait() (*http.Response, error) {
	r := result{err: ErrClosed}
	select {
	case r = <-w.ready:
	case <-w.ctx.Done():
		select {
		case r = <-w.ready: // finish cancels too
		default:
		}
	}
	if err := w.req.Context().Err(); err != nil {
		if r.resp != nil {
			r.resp.Body.Close()
		}
		return nil, err
	}
	return r.resp, r.err
}

// stream is the body of a long answer. Closing it ends the handler.
type stream struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (s *stream) Close() error {
	s.cancel()
	return s.PipeReader.Close()
}
