package service

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// deadlines limits the time of a request by the bytes that the client has read or written. A
// fixed limit would be too short for a large package on a slow line, or too long for a client
// that only wants to hold a connection.
type deadlines struct {
	next  http.Handler
	stall time.Duration
	rate  int // bytes in a second
}

func (d deadlines) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	out := &deadlineWriter{ResponseWriter: w, rc: rc, d: d}
	if r.ProtoMajor == 1 {
		// A connection that is used again still has the deadline of the last answer. A
		// stream of HTTP/2 has none, and a deadline would end it while it waits.
		out.extend(0)
	}
	if r.Body != nil && r.Body != http.NoBody {
		in := &deadlineBody{ReadCloser: r.Body, rc: rc, d: d}
		in.extend() // if the handler does not read the body, net/http reads a little of it
		r.Body = in
	}
	d.next.ServeHTTP(out, r)
}

// timeFor is how long n bytes may take.
func (d deadlines) timeFor(n int64) time.Duration {
	return d.stall + time.Duration(float64(n)/float64(d.rate)*float64(time.Second))
}

// deadlineBody measures only the time in which it waits for the client, not the time between
// two reads.
type deadlineBody struct {
	io.ReadCloser
	rc     *http.ResponseController
	d      deadlines
	n      int64
	waited time.Duration
	until  time.Time // the deadline
}

func (b *deadlineBody) Read(p []byte) (int, error) {
	b.extend()
	start := time.Now()
	n, err := b.ReadCloser.Read(p)
	b.waited += time.Since(start)
	b.n += int64(n)
	switch {
	case errors.Is(err, io.EOF):
		// net/http reads on, to see when the client goes.
		_ = b.rc.SetReadDeadline(time.Time{})
	case err == nil && b.waited > b.d.timeFor(b.n):
		// This does not use a deadline of the connection: if one passed just as the body
		// ends, net/http would think that the client has gone.
		err = errTooSlow
	}
	return n, err
}

// extend sets the deadline of the next read.
func (b *deadlineBody) extend() {
	if until := time.Now().Add(b.d.stall); until.Sub(b.until) >= b.d.stall/16 {
		b.until = until
		_ = b.rc.SetReadDeadline(until) // fails only in tests without a connection
	}
}

var errTooSlow = errors.New("the request's body comes too slowly")

// deadlineWriter sets a new deadline for each piece of an answer, because the relay may have
// waited for the store before the piece.
type deadlineWriter struct {
	http.ResponseWriter
	rc    *http.ResponseController
	d     deadlines
	until time.Time // the deadline
}

// extend sets the deadline for n bytes, unless the new deadline differs only a little from
// the old one: setting a deadline is expensive for a short answer.
func (w *deadlineWriter) extend(n int) {
	until := time.Now().Add(w.d.timeFor(int64(n)))
	if diff := until.Sub(w.until); diff < 0 || diff >= w.d.stall/16 {
		w.until = until
		_ = w.rc.SetWriteDeadline(until)
	}
}

func (w *deadlineWriter) WriteHeader(status int) {
	w.extend(0)
	w.ResponseWriter.WriteHeader(status)
}

const pieceSize = 64 << 10 // bytes

// Write writes in pieces. With one large write, a client that reads nothing would have the
// time for the whole answer.
func (w *deadlineWriter) Write(b []byte) (n int, err error) {
	for {
		piece := b[n:min(len(b), n+pieceSize)]
		w.extend(len(piece))
		k, err := w.ResponseWriter.Write(piece)
		if n += k; err != nil || n >= len(b) {
			return n, err
		}
	}
}

// Unwrap is for http.ResponseController.
func (w *deadlineWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
