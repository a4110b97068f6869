package httpguard

import (
	"net"
	"net/netip"
	"sync"
)

// Config configures a Listener. All fields are required.
type Config struct {
	Connections int                         // open at the same time
	PerClient   int                         // of these, from one client
	Client      func(net.Addr) netip.Prefix // the client of a remote address
	Refused     func()                      // is called for each connection that is closed at once
}

// Listener closes new connections above its limits. It does not let them wait, because
// a waiting connection could hold up those that end.
type Listener struct {
	net.Listener
	cfg  Config
	open *Counter
}

// NewListener limits the connections of l.
func NewListener(l net.Listener, cfg Config) *Listener {
	return &Listener{Listener: l, cfg: cfg, open: NewCounter(cfg.Connections, cfg.PerClient)}
}

// Accept waits for a connection that is within the limits.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		client := l.cfg.Client(c.RemoteAddr())
		if l.open.Acquire(client) {
			return &conn{Conn: c, release: sync.OnceFunc(func() { l.open.Release(client) })}, nil
		}
		l.cfg.Refused()
		_ = c.Close()
	}
}

type conn struct {
	net.Conn
	release func()
}

func (c *conn) Close() error {
	c.release()
	return c.Conn.Close()
}
