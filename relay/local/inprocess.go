package local

import (
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

// RoundTripper makes a transport that serves requests to the relay's Origin within
// this process, as Handler does over HTTP. All other requests go to next. The
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
	w := &answer{ctx: ctx, cancel: cancel, req: req, header: http.Header{}, begun: make(chan *http.Response, 1)}
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
	// httputil.ReverseProxy panics for a cut answer only if the context has a server.
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
	producer := strings.HasPrefix(in.URL.Path, api.PathKubbis) || strings.HasPrefix(in.URL.Path, api.PathRequests)
	if producer && in.Header.Get("Authorization") == "" {
		in.Header.Set("Authorization", "Bearer "+o.apiKey)
	}
	t.relay.serveFrom(o, w, in)
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

// answer is the http.ResponseWriter of one request. The body is a pipe: the handler waits
// until the client reads.
type answer struct {
	ctx    context.Context
	cancel context.CancelFunc
	req    *http.Request
	begun  chan *http.Response // gets the answer once it begins; closed if there is none

	// Only the handler's goroutine uses these.
	header http.Header
	pipe   *io.PipeWriter // nil: not begun
}

func (w *answer) Header() http.Header { return w.header }

func (w *answer) WriteHeader(status int) {
	if w.pipe != nil {
		return
	}
	r, pipe := io.Pipe()
	w.pipe = pipe
	context.AfterFunc(w.ctx, func() { pipe.CloseWithError(w.ctx.Err()) })
	length := int64(-1)
	if n, err := strconv.ParseInt(w.header.Get("Content-Length"), 10, 64); err == nil {
		length = n
	}
	w.begun <- &http.Response{
		Status:     fmt.Sprintf("%d %s", status, http.StatusText(status)),
		StatusCode: status,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header.Clone(), Body: &answerBody{r, w.cancel}, ContentLength: length, Request: w.req,
	}
}

func (w *answer) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.req.Method == http.MethodHead || len(b) == 0 {
		return len(b), nil
	}
	return w.pipe.Write(b)
}

// finish ends the answer when the handler has returned, or panicked.
func (w *answer) finish(panicked any) {
	switch {
	case panicked == nil:
		w.WriteHeader(http.StatusOK)
		w.pipe.Close()
	case w.pipe == nil:
		close(w.begun)
	case w.ctx.Err() != nil: // the reason of the panic
		w.pipe.CloseWithError(w.ctx.Err())
	default:
		w.pipe.CloseWithError(io.ErrUnexpectedEOF)
	}
	w.cancel() // the pipe keeps its first error
}

// wait returns the answer when it begins. A cancelled request gets no answer, even if the
// handler has written an error about the incomplete body.
func (w *answer) wait() (*http.Response, error) {
	var resp *http.Response
	closed := false
	select {
	case resp = <-w.begun:
	case <-w.ctx.Done():
		select {
		case resp = <-w.begun: // finish cancels too
		default:
			closed = true
		}
	}
	err := w.req.Context().Err()
	switch {
	case err != nil:
		if resp != nil {
			resp.Body.Close()
		}
		return nil, err
	case closed:
		return nil, ErrClosed
	case resp == nil:
		return nil, io.ErrUnexpectedEOF
	}
	return resp, nil
}

// answerBody is the body of an answer. Closing it ends the handler.
type answerBody struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (b *answerBody) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}
