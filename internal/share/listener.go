package share

import (
	"net"
	"net/netip"
	"sync"
)

// Config is what a Listener needs. All of it must be given.
type Config struct {
	Most      int                         // connections open at once
	PerSource int                         // of these, of one source
	Source    func(net.Addr) netip.Prefix // of a connection's other end
	Refused   func()                      // is told of each connection that is closed at once
}

// Listener closes connections above a number of open ones: one that waited would
// hold up those that come to an end.
type Listener struct {
	net.Listener
	cfg     Config
	sources *Counter

	mu   sync.Mutex
	open int
}

// NewListener makes a Listener of another.
func NewListener(l net.Listener, cfg Config) *Listener {
	return &Listener{Listener: l, cfg: cfg, sources: NewCounter(cfg.PerSource)}
}

// Accept waits for a connection that may stay.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		source := l.cfg.Source(c.RemoteAddr())
		if l.take(source) {
			return &conn{Conn: c, l: l, source: source}, nil
		}
		l.cfg.Refused()
		_ = c.Close()
	}
}

func (l *Listener) take(source netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.cfg.Most || !l.sources.Take(source) {
		return false
	}
	l.open++
	return true
}

func (l *Listener) give(source netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	l.sources.Give(source)
}

type conn struct {
	net.Conn
	l      *Listener
	source netip.Prefix
	once   sync.Once
}

func (c *conn) Close() error {
	c.once.Do(func() { c.l.give(c.source) })
	return c.Conn.Close()
}
