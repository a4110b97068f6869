package transport

import (
	"cmp"
	"context"
	"net/http"
	"sync"
	"time"
)

// Limits are the limits of clients over HTTP. A zero field means the default, which
// each comment ends with.
type Limits struct {
	MaxConns      int           // connections open at once, half of them from one address or IPv6 /64; 8,192
	MaxBody       int           // bytes of a request; 72 MiB, the largest package in base64
	MaxSessions   int           // open at once, of one caller; 2,000
	MaxCalls      int           // running at once, of one caller, apart from those that wait; 256
	MaxTotalCalls int           // the same of all callers; 1,024
	MaxTotalBytes int64         // of the requests of running calls, half of it for one caller; four of the largest, 288 MiB at least
	SessionIdle   time.Duration // after which a session without a stream is dropped; 1 h
	HeaderTimeout time.Duration // until a request's headers are there; 10 s
	StallTimeout  time.Duration // in which a body or an answer must have moved on; 30 s
	IdleTimeout   time.Duration // of a connection between requests; 2 min
	Heartbeat     time.Duration // between comments on a quiet stream; 25 s
	Drain         time.Duration // for running calls when the server shuts down; 15 s
}

const (
	// DefaultMaxConns is Limits.MaxConns, unless it is given.
	DefaultMaxConns = 8192
	// DefaultMaxMessageBytes is the longest message, unless a limit is given: a
	// package of 50 MiB in base64, with room for its wrapping.
	DefaultMaxMessageBytes = 72 << 20
)

// withDefaults gives the limits with the defaults in place of zeros.
func (l Limits) withDefaults() Limits {
	l.MaxConns = cmp.Or(l.MaxConns, DefaultMaxConns)
	l.MaxBody = cmp.Or(l.MaxBody, DefaultMaxMessageBytes)
	l.MaxSessions = cmp.Or(l.MaxSessions, 2000)
	l.MaxCalls = cmp.Or(l.MaxCalls, 256)
	l.MaxTotalCalls = cmp.Or(l.MaxTotalCalls, 1024)
	l.MaxTotalBytes = cmp.Or(l.MaxTotalBytes, 4*int64(max(l.MaxBody, DefaultMaxMessageBytes)))
	l.SessionIdle = cmp.Or(l.SessionIdle, time.Hour)
	l.HeaderTimeout = cmp.Or(l.HeaderTimeout, 10*time.Second)
	l.StallTimeout = cmp.Or(l.StallTimeout, 30*time.Second)
	l.IdleTimeout = cmp.Or(l.IdleTimeout, 2*time.Minute)
	l.Heartbeat = cmp.Or(l.Heartbeat, 25*time.Second)
	l.Drain = cmp.Or(l.Drain, 15*time.Second)
	return l
}

// usage is one caller's part of the load.
type usage struct {
	calls int   // that work
	waits int   // calls that wait
	bytes int64 // of requests
}

// load counts the calls that run and the bytes of their requests.
type load struct {
	limits Limits

	mu     sync.Mutex
	calls  int // that work
	waits  int // calls that wait
	bytes  int64
	closed bool          // no call begins any more
	idle   chan struct{} // closed when no call runs any more; nil: nobody waits

	begun   bool // a call or stream has begun since quiet was last called
	garbage bool // a call or stream has begun since quiet last returned true
}

// admit lets a call of a caller begin, until its slot is ended.
func (l *load) admit(u *usage) (*slot, *Refusal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, Draining()
	case u.calls >= l.limits.MaxCalls:
		return nil, Busy(http.StatusTooManyRequests, "too_many_calls", "Too many calls of yours are running; try again when one has ended")
	case l.calls >= l.limits.MaxTotalCalls:
		return nil, Busy(http.StatusServiceUnavailable, "overloaded", "The server is running as many calls as it can; try again in a moment")
	}
	u.calls++
	l.calls++
	l.begun, l.garbage = true, true
	return &slot{
		toWaits: func() bool { return l.toWaits(u) },
		free:    func(waits bool) { l.free(u, waits) },
	}, nil
}

// toWaits makes a call that works one that waits, if there is room.
func (l *load) toWaits(u *usage) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if u.waits >= waitsPerCall*l.limits.MaxCalls || l.waits >= waitsPerCall*l.limits.MaxTotalCalls {
		return false
	}
	u.calls--
	l.calls--
	u.waits++
	l.waits++
	return true
}

// free ends a call.
func (l *load) free(u *usage, waits bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if waits {
		u.waits--
		l.waits--
	} else {
		u.calls--
		l.calls--
	}
	if l.calls+l.waits == 0 && l.idle != nil {
		close(l.idle)
		l.idle = nil
	}
}

// streamOpened notes that a stream has begun, for quiet.
func (l *load) streamOpened() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begun, l.garbage = true, true
}

// quiet does what HTTP.Quiet describes.
func (l *load) quiet() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	quiet := l.calls == 0 && !l.begun && l.garbage
	l.begun, l.garbage = false, l.garbage && !quiet
	return quiet
}

// reserve takes room for bytes of a caller's request, which release gives back.
// One caller gets half of the room at most, so that large requests that come
// slowly don't keep the others out.
func (l *load) reserve(u *usage, n int) *Refusal {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch most := l.limits.MaxTotalBytes; {
	case u.bytes+int64(n) > most/2:
		return Busy(http.StatusTooManyRequests, "too_many_calls", "Too many bytes of your requests are under way; try again when one has ended")
	case l.bytes+int64(n) > most:
		return Busy(http.StatusServiceUnavailable, "overloaded", "The server holds as many bytes of requests as it can; try again in a moment")
	}
	u.bytes += int64(n)
	l.bytes += int64(n)
	return nil
}

func (l *load) release(u *usage, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	u.bytes -= int64(n)
	l.bytes -= int64(n)
}

// Draining is the refusal of a server that is shutting down.
func Draining() *Refusal {
	return Busy(http.StatusServiceUnavailable, "draining", "The server is shutting down; try again in a moment")
}

// state gives how many calls run, how many bytes of requests are held, and whether
// close has been called.
func (l *load) state() (calls int, bytes int64, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls + l.waits, l.bytes, l.closed
}

func (l *load) isClosed() bool {
	_, _, closed := l.state()
	return closed
}

// close lets no call begin any more, and waits until none runs. It reports false
// if ctx ends first.
func (l *load) close(ctx context.Context) bool {
	l.mu.Lock()
	l.closed = true
	if l.calls+l.waits > 0 && l.idle == nil {
		l.idle = make(chan struct{})
	}
	idle := l.idle
	l.mu.Unlock()
	if idle == nil {
		return true
	}
	select {
	case <-idle:
		return true
	case <-ctx.Done():
		return false
	}
}
