package transport

import (
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// window is how many bytes of a body must arrive before its deadline is extended.
const window = 256 << 10

// readBody reads the whole body of a request, within the limits of size and time.
// The bytes count as the caller's until release is called.
func (e *Endpoint) readBody(w http.ResponseWriter, r *http.Request) (body []byte, release func(), p *Refusal) {
	limits, load := &e.http.limits, &e.http.load
	limit := limits.MaxBody
	if r.ContentLength > int64(limit) {
		return nil, nil, tooLarge(limit)
	}
	rc := http.NewResponseController(w)
	reserved := 0
	free := func() { load.release(&e.usage, reserved) }
	defer func() {
		if p != nil {
			free() // the deadline stays, since net/http may read the rest
			return
		}
		_ = rc.SetReadDeadline(time.Time{})
		_ = rc.SetWriteDeadline(time.Now().Add(limits.StallTimeout))
	}()
	_ = rc.SetWriteDeadline(time.Time{}) // HTTP/2 would reset the stream while it is read
	size := min(limit, window)           // a large Content-Length alone gets no more memory
	if r.ContentLength >= 0 {
		size = min(int(r.ContentLength), size)
	}
	body = make([]byte, 0, size+1) // one byte more, to see the end without growing
	extended := 0
	_ = rc.SetReadDeadline(time.Now().Add(limits.StallTimeout))
	for {
		if cap(body) > reserved {
			if p := load.reserve(&e.usage, cap(body)-reserved); p != nil {
				return nil, nil, p
			}
			reserved = cap(body)
		}
		n, err := r.Body.Read(body[len(body):min(cap(body), len(body)+window)])
		body = body[:len(body)+n]
		switch {
		case len(body) > limit:
			return nil, nil, tooLarge(limit)
		case errors.Is(err, io.EOF):
			return body, free, nil
		case err != nil:
			return nil, nil, unreadable(err)
		}
		if len(body)-extended >= window {
			extended = len(body)
			_ = rc.SetReadDeadline(time.Now().Add(limits.StallTimeout))
		}
		if len(body) == cap(body) {
			body = grow(body, limit, r.ContentLength)
		}
	}
}

// grow doubles the capacity, up to the most bytes that can arrive.
func grow(body []byte, limit int, length int64) []byte {
	to := 2 * cap(body)
	if length >= 0 {
		to = min(to, int(length)+1)
	}
	return append(make([]byte, 0, max(min(to, limit+1), len(body)+1)), body...)
}

func tooLarge(limit int) *Refusal {
	return Refuse(http.StatusRequestEntityTooLarge, "too_large", "Invalid request: the message is longer than "+describeBytes(limit))
}

func unreadable(err error) *Refusal {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return Refuse(http.StatusRequestTimeout, "too_slow", "Invalid request: the message did not come in time")
	}
	return Refuse(http.StatusBadRequest, "bad_request", "Invalid request: the message could not be read")
}
