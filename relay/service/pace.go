package service

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"kubbi-mcp/internal/share"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
)

// limited lets a bounded number of requests run at once, and a share of them of
// one address. Others are told to come again, which every client of the API does
// by itself.
func (s *Service) limited(next http.Handler) http.Handler {
	shares := share.NewCounter(share.Of(s.cfg.Limits.Requests))
	proxies := s.cfg.Relay.TrustedProxies
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		source := proxies.SourceOf(r)
		if !shares.Take(source) {
			s.refuseRequest(w)
			return
		}
		defer shares.Give(source)
		select {
		case s.running <- struct{}{}:
			defer func() { <-s.running }()
			next.ServeHTTP(w, r)
		default:
			s.refuseRequest(w)
		}
	})
}

func (s *Service) refuseRequest(w http.ResponseWriter) {
	s.metrics.refused.WithLabelValues(refusedRequest).Inc()
	w.Header().Set("Retry-After", strconv.Itoa(1))
	w.Header().Set("Cache-Control", "no-store")
	relay.WriteError(w, api.CodeUnavailable, "the relay has too much to do right now; try again")
}

// paced gives a client time by what it has read or written: a fixed time for a
// request would be too short for a large package on a slow line, or too long
// for one who only wants to hold a connection.
type paced struct {
	next  http.Handler
	stall time.Duration
	rate  int // bytes in a second
}

func (p paced) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	out := &pacedWriter{ResponseWriter: w, rc: rc, p: p}
	if r.ProtoMajor == 1 {
		// A connection that is used again still has the last answer's deadline.
		// A stream of HTTP/2 has none, and would be ended by one while it waits.
		out.allow(0)
	}
	if r.Body != nil && r.Body != http.NoBody {
		in := &pacedBody{ReadCloser: r.Body, rc: rc, p: p}
		in.extend() // for what is refused unread, of which net/http reads a little
		r.Body = in
	}
	p.next.ServeHTTP(out, r)
}

// allow is the time that n bytes may take.
func (p paced) allow(n int64) time.Duration {
	return p.stall + time.Duration(float64(n)/float64(p.rate)*float64(time.Second))
}

// pacedBody counts the time that it waits for the client, and not what the
// relay does between two reads.
type pacedBody struct {
	io.ReadCloser
	rc     *http.ResponseController
	p      paced
	n      int64
	waited time.Duration
	until  time.Time // the deadline
}

func (b *pacedBody) Read(p []byte) (int, error) {
	b.extend()
	begun := time.Now()
	n, err := b.ReadCloser.Read(p)
	b.waited += time.Since(begun)
	b.n += int64(n)
	switch {
	case errors.Is(err, io.EOF):
		// net/http reads on, to see the client go.
		_ = b.rc.SetReadDeadline(time.Time{})
	case err == nil && b.waited > b.p.allow(b.n):
		// Not by a deadline: one that passes just as a body ends would be taken for
		// the client's going away.
		err = errTooSlow
	}
	return n, err
}

// extend sets the deadline for what comes next.
func (b *pacedBody) extend() {
	if until := time.Now().Add(b.p.stall); until.Sub(b.until) >= b.p.stall/16 {
		b.until = until
		_ = b.rc.SetReadDeadline(until) // none to set, where the connection is the caller's own
	}
}

var errTooSlow = errors.New("the request's body comes too slowly")

// pacedWriter gives each piece of an answer its time, since it may have waited
// for the store before.
type pacedWriter struct {
	http.ResponseWriter
	rc    *http.ResponseController
	p     paced
	until time.Time // the deadline
}

// allow gives n bytes their time, where what is left of it differs by more than a
// little: to set a deadline takes as long as much else of a short answer.
func (w *pacedWriter) allow(n int) {
	until := time.Now().Add(w.p.allow(int64(n)))
	if d := until.Sub(w.until); d < 0 || d >= w.p.stall/16 {
		w.until = until
		_ = w.rc.SetWriteDeadline(until)
	}
}

func (w *pacedWriter) WriteHeader(status int) {
	w.allow(0)
	w.ResponseWriter.WriteHeader(status)
}

// Write gives each piece its own time: a client that reads nothing must not have
// that of a large answer, which was handed over whole.
func (w *pacedWriter) Write(b []byte) (n int, err error) {
	for {
		piece := b[n:min(len(b), n+pacedPiece)]
		w.allow(len(piece))
		k, err := w.ResponseWriter.Write(piece)
		if n += k; err != nil || n >= len(b) {
			return n, err
		}
	}
}

const pacedPiece = 64 << 10 // bytes

// Unwrap lets http.ResponseController through.
func (w *pacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
