package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/store"
)

// maxBuffered is how much of an answer is kept before it is handed over as a
// stream, in bytes.
const maxBuffered = 64 << 10

// RoundTripper gives a transport that serves requests to the relay's Origin
// within this process, by the same handler as over HTTP, and passes all others
// on to next. The relay opens on the first request; if it can't, the answer is
// an error in the API's envelope that says why. A producer request without
// Authorization gets the directory's own API key.
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
		// The caller is the directory's user, and must know.
		relay.WriteError(w, code, "the embedded relay can't use its data directory", err.Error())
		return
	}
	in := req.Clone(w.ctx)
	in.RequestURI = req.URL.RequestURI()
	in.RemoteAddr = inProcessAddr
	if in.Host == "" {
		in.Host = req.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	if in.ContentLength == 0 && in.Body != http.NoBody {
		in.ContentLength = -1 // to a client 0 means unknown
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
		t.relay.explainUnknown(w.ctx, w, o.self, token)
	}
}

// inProcessAddr is where a request of this process comes from. No connection has
// such an address.
const inProcessAddr = "in-process"

func inProcess(r *http.Request) bool { return r.RemoteAddr == inProcessAddr }

// owns says whether a URL is of the relay's origin.
func (r *Relay) owns(u *url.URL) bool {
	if !strings.EqualFold(u.Scheme, "http") {
		return false
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port) == r.addr
}

// answer is the http.ResponseWriter of one call, and hands what is written to
// the client: a short answer whole, a longer one as a stream that the handler
// waits for the client to read.
type answer struct {
	ctx    context.Context
	cancel context.CancelFunc
	req    *http.Request
	ready  chan result // gets one result

	// For the handler's goroutine alone.
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

// forget takes back an answer of which nothing was handed over.
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
	case w.ctx.Err() != nil: // that is why it panicked
		w.pipe.CloseWithError(w.ctx.Err())
	default:
		w.pipe.CloseWithError(io.ErrUnexpectedEOF)
	}
	w.cancel() // what the pipe was closed with first stays
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

// wait gives the answer once it is whole or has become a stream. To a request
// that has been cancelled there is none: what the handler made of a body that
// ended early is nobody's business.
func (w *answer) wait() (*http.Response, error) {
	r := result{err: ErrClosed}
	select {
	case r = <-w.ready:
	case <-w.ctx.Done():
		select {
		case r = <-w.ready: // finish cancels as well
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
