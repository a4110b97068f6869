package server

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// detach has serve answer a request with a stream that ends with ctx, on a
// connection that net/http has let go of: the buffers, the deep stack and the
// reading goroutine that it keeps for each request are more than half of the
// memory of a quiet stream. While the stream is quiet it carries comments, and
// what box had no room for before is offered again; a client that is gone, or
// that does not take a piece in time, ends it through cancel.
//
// It returns at once, with a problem if there is none of this.
func (h *HTTP) detach(ctx context.Context, cancel context.CancelFunc, w http.ResponseWriter, box *outbox, serve func(*reply)) *problem {
	done, ok := h.load.stream()
	if !ok {
		return draining()
	}
	header := w.Header().Clone()
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		done()
		return &problem{status: http.StatusInternalServerError, reason: "internal", message: errInternal.Error()}
	}
	_ = conn.SetDeadline(time.Time{})
	bare := &bareWriter{conn: conn, header: header}
	out := newReply(bare, h.limits.StallTimeout)
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		h.listen(ctx, bare, out, box)
		cancel()
	}()
	go func() {
		defer done()
		defer conn.Close()
		serve(out)
		cancel()
		<-reading
	}()
	return nil
}

// lastWrite is the time for what is being written when a stream ends.
const lastWrite = time.Second

// listen keeps a stream alive until ctx ends, or its client leaves or says
// anything, which it has no reason to.
func (h *HTTP) listen(ctx context.Context, bare *bareWriter, out *reply, box *outbox) {
	conn := bare.conn
	stop := context.AfterFunc(ctx, func() {
		bare.end(time.Now().Add(lastWrite))
		_ = conn.SetReadDeadline(time.Now())
	})
	defer stop()
	var b [1]byte
	for {
		_ = conn.SetReadDeadline(time.Now().Add(h.limits.Heartbeat))
		if ctx.Err() != nil {
			return
		}
		_, err := conn.Read(b[:])
		if timeout, ok := err.(net.Error); !ok || !timeout.Timeout() {
			return
		}
		box.retry()
		if !out.beat(h.limits.Heartbeat) {
			return
		}
	}
}

// bareWriter writes an answer that ends with its connection.
type bareWriter struct {
	conn   net.Conn
	header http.Header
	status int
	head   []byte // not yet written

	mu   sync.Mutex
	last time.Time // for all writes; zero: there is none
}

// Header implements http.ResponseWriter.
func (w *bareWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *bareWriter) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	w.status = status
	w.header.Set("Connection", "close")
	var head bytes.Buffer
	fmt.Fprintf(&head, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	_ = w.header.Write(&head) // a Buffer takes all
	head.WriteString("\r\n")
	w.head = head.Bytes()
}

// Write implements http.ResponseWriter.
func (w *bareWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if err := w.FlushError(); err != nil {
		return 0, err
	}
	return w.conn.Write(b)
}

// FlushError is for http.ResponseController: only the head is ever held back.
func (w *bareWriter) FlushError() error {
	if w.head == nil {
		return nil
	}
	_, err := w.conn.Write(w.head)
	w.head = nil
	return err
}

// SetWriteDeadline is for http.ResponseController.
func (w *bareWriter) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.last.IsZero() && w.last.Before(t) {
		t = w.last
	}
	return w.conn.SetWriteDeadline(t)
}

// end sets a time for all writes, also those under way and to come.
func (w *bareWriter) end(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = t
	_ = w.conn.SetWriteDeadline(t)
}
