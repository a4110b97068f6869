package server

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"
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

	request *request // whose fault is the answer in place of mcp-go's; nil: none

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
	if r.request != nil && r.request.fault != nil && r.request.fault.Code == mcp.MISSING_REQUIRED_CLIENT_CAPABILITY {
		status = http.StatusBadRequest
	}
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
	if fault := r.faulty(b); fault != nil {
		_, err := r.write(fault)
		then(err == nil)
		return len(b), err
	}
	n, err := r.write(b)
	then(err == nil)
	return n, err
}

// faulty gives the request's fault in the form of mcp-go's own error answer, nil
// if there is none, or what is written is no such answer.
func (r *reply) faulty(answer []byte) []byte {
	if r.request == nil || r.request.fault == nil {
		return nil
	}
	head := []byte("event: message\ndata: ")
	v, event := bytes.CutPrefix(answer, head)
	var theirs struct {
		ID    json.RawMessage `json:"id"`
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(v, &theirs) != nil || theirs.Error == nil {
		return nil
	}
	fault := *r.request.fault
	fault.id = jsontext.Value(theirs.ID)
	ours := encodeError(&fault)
	if event {
		ours = append(append(head, ours...), '\n') // it ends with a line's end
	}
	return ours
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
