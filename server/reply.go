package server

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// reply is the answer to one request, on its way to a client that may not read
// it: each piece must be taken within a time. A stream is kept alive with
// comments while it is quiet. It takes writes from several goroutines, each
// whole.
type reply struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
	before  func() // has the last word on the headers; nil: none

	// writes sees what is about to be written, and gives what to do when that
	// has been done or has failed; nil: nothing.
	writes func([]byte) (then func(written bool))
	marks  *marks // whose marks are taken out; nil: there are none

	mu     sync.Mutex
	status int
	last   time.Time // of a write
	err    error
}

// piece is how much is written under one deadline.
const piece = 256 << 10

func newReply(w http.ResponseWriter, stall time.Duration) *reply {
	return &reply{ResponseWriter: w, control: http.NewResponseController(w), stall: stall}
}

// Unwrap is for http.ResponseController.
func (r *reply) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (r *reply) WriteHeader(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writeHeader(status)
}

func (r *reply) writeHeader(status int) {
	if r.status == 0 {
		r.status = status
		if r.before != nil {
			r.before()
		}
		r.ResponseWriter.WriteHeader(status)
	}
}

// Write implements http.ResponseWriter.
func (r *reply) Write(b []byte) (int, error) {
	if r.marks != nil && r.marks.take(b) {
		return len(b), nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	then := func(bool) {}
	if r.writes != nil {
		then = r.writes(b)
	}
	n, err := r.write(b)
	then(err == nil)
	return n, err
}

func (r *reply) write(b []byte) (int, error) {
	r.writeHeader(http.StatusOK)
	written := 0
	for r.err == nil && written < len(b) {
		_ = r.control.SetWriteDeadline(time.Now().Add(r.stall))
		n, err := r.ResponseWriter.Write(b[written:min(len(b), written+piece)])
		written += n
		r.err = err
	}
	r.last = time.Now()
	return written, r.err
}

// Flush implements http.Flusher.
func (r *reply) Flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flush()
}

func (r *reply) flush() {
	if r.err == nil {
		_ = r.control.SetWriteDeadline(time.Now().Add(r.stall))
		r.err = r.control.Flush()
	}
}

// delivered reports whether all that was written has gone out to a client that
// is, as far as is known, still there.
func (r *reply) delivered(ctx context.Context) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flush()
	return r.err == nil && ctx.Err() == nil
}

// beat writes a comment, which clients ignore, if nothing was written for a
// while. It reports false once the client is known to be gone.
func (r *reply) beat(every time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.status != 0 && time.Since(r.last) >= every {
		_, _ = r.write([]byte(": \n\n"))
		r.flush()
	}
	return r.err == nil
}
