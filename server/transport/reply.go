package transport

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
)

// reply writes the answer to an HTTP request. Each piece has a deadline, since the
// client may not read. One goroutine writes.
type reply struct {
	w       http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration

	mu    sync.Mutex
	last  time.Time // deadline of all writes; zero: none
	ended bool      // w must not be used any more
}

const (
	piece     = 256 << 10   // bytes that are written under one deadline
	lastWrite = time.Second // for a write under way when the stream ends
)

// newReply makes a reply without a time limit between writes.
func newReply(w http.ResponseWriter, stall time.Duration) *reply {
	r := &reply{w: w, control: http.NewResponseController(w), stall: stall}
	// HTTP/2 resets a stream at its deadlines, whether it waits for one or not.
	_ = r.control.SetReadDeadline(time.Time{})
	_ = r.control.SetWriteDeadline(time.Time{})
	return r
}

// write writes b and flushes it.
func (r *reply) write(b []byte) error {
	for len(b) > 0 {
		n := min(len(b), piece)
		r.deadline(time.Now().Add(r.stall))
		if _, err := r.w.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	r.deadline(time.Now().Add(r.stall))
	defer r.deadline(time.Time{})
	return r.control.Flush()
}

func (r *reply) deadline(t time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.last.IsZero() && (t.IsZero() || r.last.Before(t)) {
		t = r.last
	}
	_ = r.control.SetWriteDeadline(t)
}

// endSoon makes all writes end within lastWrite, also one under way.
func (r *reply) endSoon() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended && r.last.IsZero() {
		r.last = time.Now().Add(lastWrite)
		_ = r.control.SetWriteDeadline(r.last)
	}
}

// end lets net/http write the end of the answer, within lastWrite.
func (r *reply) end() {
	r.endSoon()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
}

// startEvents begins a stream of events.
func (r *reply) startEvents() {
	r.w.Header().Set("Content-Type", "text/event-stream")
	r.w.WriteHeader(http.StatusOK)
}

// event writes a message, which ends with a line's end, as an event.
func (r *reply) event(text []byte) error {
	b := make([]byte, 0, len("event: message\ndata: ")+len(text)+1)
	b = append(append(append(b, "event: message\ndata: "...), text...), '\n')
	return r.write(b)
}

// stream writes the messages of an outbox, and broadcasts, as events. It ends when ctx
// ends, when a write fails or takes too long, and after the first answer if lastAnswer is
// set. In a pause it writes comments, which clients ignore, at intervals of beat.
func (r *reply) stream(ctx context.Context, out *outbox, broadcasts <-chan mcp.JSONRPCNotification, beat time.Duration, lastAnswer bool) {
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	last := time.Now()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-out.ready:
			m, ok := out.take()
			if !ok {
				continue
			}
			err = r.event(m.text)
			m.done(err == nil && ctx.Err() == nil)
			if lastAnswer && m.answer != nil {
				return
			}
		case n := <-broadcasts:
			err = r.event(encodeNotification(n))
		case now := <-ticker.C:
			if now.Sub(last) < beat {
				continue
			}
			err = r.write([]byte(": \n\n"))
		}
		if err != nil {
			return
		}
		last = time.Now()
	}
}
