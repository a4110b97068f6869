package transport

import (
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Endpoint serves the HTTP transports to one caller, with the caller's sessions.
type Endpoint struct {
	http  *HTTP
	cfg   Config
	usage usage

	mu   sync.Mutex
	byID map[string]*Session
}

// NewEndpoint makes the endpoint of one more caller.
func (h *HTTP) NewEndpoint(cfg Config) *Endpoint {
	return &Endpoint{http: h, cfg: cfg.withDefaults(), byID: map[string]*Session{}}
}

// Sessions is how many sessions are open. A stream without a session counts as
// one.
func (e *Endpoint) Sessions() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.byID)
}

// Has reports whether a session of streamable HTTP is open.
func (e *Endpoint) Has(id string) bool { return e.session(id, StreamableHTTP) != nil }

// DropIdle ends the sessions of streamable HTTP that were last used before a time.
func (e *Endpoint) DropIdle(before time.Time) {
	for _, s := range e.all() {
		if s.transport == StreamableHTTP && !s.stateless && s.idleSince(before) {
			e.remove(s)
		}
	}
}

// Close ends all sessions.
func (e *Endpoint) Close() {
	for _, s := range e.all() {
		e.remove(s)
	}
}

func (e *Endpoint) all() []*Session {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Values(e.byID))
}

// session finds a session of a transport, nil if there is none.
func (e *Endpoint) session(id, transport string) *Session {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s := e.byID[id]; s != nil && s.transport == transport && !s.stateless {
		return s
	}
	return nil
}

// open opens a session that lives until it is removed, or with the server.
func (e *Endpoint) open(transport string) (*Session, *Refusal) {
	s := newSession(e.http.life, e.cfg, transport)
	if p := e.add(s); p != nil {
		s.end()
		return nil, p
	}
	s.open()
	return s, nil
}

// newStateless makes the session of a single request of a protocol version without
// sessions. It must be closed.
func (e *Endpoint) newStateless() *Session {
	s := newSession(e.http.life, e.cfg, StreamableHTTP)
	s.stateless = true
	return s
}

// add adds a session, unless the caller has too many.
func (e *Endpoint) add(s *Session) *Refusal {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.byID) >= e.http.limits.MaxSessions {
		p := Busy(http.StatusTooManyRequests, "too_many_sessions", "Too many sessions of yours are open; end one, or wait until one that is idle is dropped")
		p.Retry = 30 * time.Second
		return p
	}
	e.byID[s.id] = s
	return nil
}

// remove ends a session. It does nothing if the session has ended already.
func (e *Endpoint) remove(s *Session) {
	e.mu.Lock()
	_, open := e.byID[s.id]
	delete(e.byID, s.id)
	e.mu.Unlock()
	if open {
		s.close()
	}
}

// streamBegins counts a stream until ends is called.
func (h *HTTP) streamBegins(transport string) (ends func()) {
	h.load.streamOpened()
	h.cfg.Streams(transport, 1)
	return func() { h.cfg.Streams(transport, -1) }
}

func noSession() *Refusal {
	return Refuse(http.StatusNotFound, "no_session", "Session not found: it has ended, or was dropped because it was idle; initialize a new one")
}

func missingSession() *Refusal {
	return Refuse(http.StatusBadRequest, "no_session", "Invalid request: the Mcp-Session-Id header that initialize gave is missing")
}
