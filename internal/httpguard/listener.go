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
	cfg     Config
	clients *Counter

	mu   sync.Mutex
	open int
}

// NewListener limits the connections of l.
func NewListener(l net.Listener, cfg Config) *Listener {
	return &Listener{Listener: l, cfg: cfg, clients: NewCounter(cfg.PerClient)}
}

// Accept waits for a connection that is within the limits.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		client := l.cfg.Client(c.RemoteAddr())
		if l.acquire(client) {
			return &conn{Conn: c, l: l, client: client}, nil
		}
		l.cfg.Refused()
		_ = c.Close()
	}
}

func (l *Listener) acquire(client netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.cfg.Connections || !l.clients.Acquire(client) {
		return false
	}
	l.open++
	return true
}

func (l *Listener) release(client netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	l.clients.Release(client)
}

type conn struct {
	net.Conn
	l      *Listener
	client netip.Prefix
	once   sync.Once
}

func (c *conn) Close() error {
	c.once.Do(func() { c.l.release(c.client) })
	return c.Conn.Close()
}
