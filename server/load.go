package server

import (
	"context"
	"net/http"
	"sync"
)

// load is what runs at once, of all callers and of each.
type load struct {
	limits HTTPLimits

	mu     sync.Mutex
	calls  int
	bytes  int64
	closed bool          // no call begins any more
	begun  int           // calls and streams so far
	looked int           // begun, when quiet last looked
	freed  int           // begun, when quiet last said so
	idle   chan struct{} // closed when no call runs any more; nil: nobody waits

	streams sync.WaitGroup // detached; none begins once closed
}

// admit lets a call of a caller begin. The function it gives ends the call, and
// may be called again in vain.
func (l *load) admit(c *caller) (end func(), p *problem) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, draining()
	case c.running >= l.limits.MaxCalls:
		return nil, busy(http.StatusTooManyRequests, "too_many_calls", "Too many calls of yours are running; try again when one has ended")
	case l.calls >= l.limits.MaxTotalCalls:
		return nil, busy(http.StatusServiceUnavailable, "overloaded", "The server is running as many calls as it can; try again in a moment")
	}
	c.running++
	l.calls++
	l.begun++
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		c.running--
		if l.calls--; l.calls == 0 && l.idle != nil {
			close(l.idle)
			l.idle = nil
		}
	}), nil
}

// stream lets a stream begin that net/http knows nothing of, unless the server
// is shutting down.
func (l *load) stream() (end func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, false
	}
	l.begun++
	l.streams.Add(1)
	return l.streams.Done, true
}

// quiet reports, once, that nothing runs or has begun since it was last asked,
// after something had.
func (l *load) quiet() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	quiet := l.calls == 0 && l.looked == l.begun && l.freed != l.begun
	if l.looked = l.begun; quiet {
		l.freed = l.begun
	}
	return quiet
}

// reserve makes room for bytes of a caller's request, which release gives back.
// One caller gets half of the room, or who sends large requests slowly would
// keep all others out.
func (l *load) reserve(c *caller, n int) *problem {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch most := l.limits.MaxTotalBytes; {
	case c.held+int64(n) > most/2:
		return busy(http.StatusTooManyRequests, "too_many_calls", "Too many bytes of your requests are under way; try again when one has ended")
	case l.bytes+int64(n) > most:
		return busy(http.StatusServiceUnavailable, "overloaded", "The server holds as many bytes of requests as it can; try again in a moment")
	}
	c.held += int64(n)
	l.bytes += int64(n)
	return nil
}

func (l *load) release(c *caller, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.held -= int64(n)
	l.bytes -= int64(n)
}

// draining is the problem of a server that has been told to stop.
func draining() *problem {
	return busy(http.StatusServiceUnavailable, "draining", "The server is shutting down; try again in a moment")
}

// running is how many calls run.
func (l *load) running() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls
}

// isClosed reports whether close has been called.
func (l *load) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// close lets no call begin any more, and waits until none runs. It reports false if ctx ends first.
func (l *load) close(ctx context.Context) bool {
	l.mu.Lock()
	l.closed = true
	if l.calls == 0 {
		l.mu.Unlock()
		return true
	}
	if l.idle == nil {
		l.idle = make(chan struct{})
	}
	idle := l.idle
	l.mu.Unlock()
	select {
	case <-idle:
		return true
	case <-ctx.Done():
		return false
	}
}
