package server

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
)

// sessions are the open sessions of one caller on both HTTP transports. They
// are mcp-go's SessionIdManager too, so that it knows no others.
type sessions struct {
	h *HTTP
	c *caller

	mu      sync.Mutex
	byID    map[string]*session
	listens map[*context.CancelFunc]struct{} // streams without a session
	opening int                              // sessions that may yet be opened
}

func newSessions(h *HTTP, c *caller) *sessions {
	return &sessions{h: h, c: c, byID: map[string]*session{}, listens: map[*context.CancelFunc]struct{}{}}
}

// session is one open session.
//
// Of streamable HTTP it is registered with mcp-go as a session that takes no
// notifications. Were mcp-go to register its own, that one would serve all
// requests of the session, and a call's progress could go out on the stream of
// another call; so each request gets one of its own.
type session struct {
	id   string
	life context.Context // of the stream of an SSE session; nil: it is not one

	stream atomic.Pointer[reply] // of an SSE session; nil: it has not begun

	calls calls       // those that mcp-go does not see
	logs  atomic.Bool // the client has asked for log messages

	mu      sync.Mutex
	used    time.Time
	closed  bool
	running int                             // requests
	streams map[string]context.CancelFunc   // open GET streams, by their id at mcp-go
	opened  int                             // streams so far
	pending map[string]func(delivered bool) // requests that the stream owes an answer, by id; they end with it
	outbox  outbox
}

// Bounds of a session.
const (
	maxStreams = 8   // of streamable HTTP
	maxPending = 256 // requests of SSE
)

// Initialize does nothing: see session.
func (s *session) Initialize() {}

// Initialized is false, so that mcp-go sends it nothing.
func (s *session) Initialized() bool { return false }

// NotificationChannel is none.
func (s *session) NotificationChannel() chan<- mcp.JSONRPCNotification { return nil }

// SessionID is a random UUID.
func (s *session) SessionID() string { return s.id }

// reserve keeps room for one more session until done is called.
func (ss *sessions) reserve() (done func(), p *problem) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if len(ss.byID)+len(ss.listens)+ss.opening >= ss.h.limits.MaxSessions {
		return nil, tooManySessions()
	}
	ss.opening++
	return func() {
		ss.mu.Lock()
		defer ss.mu.Unlock()
		ss.opening--
	}, nil
}

func tooManySessions() *problem {
	p := busy(http.StatusTooManyRequests, "too_many_sessions", "Too many sessions of yours are open; end one, or wait until one that is idle is dropped")
	p.retry = 30 * time.Second
	return p
}

func (ss *sessions) count() int {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return len(ss.byID) + len(ss.listens)
}

// listen notes a stream that belongs to no session, and that cancel ends. It
// counts as one.
func (ss *sessions) listen(cancel context.CancelFunc) (done func(), p *problem) {
	reserved, p := ss.reserve()
	if p != nil {
		return nil, p
	}
	defer reserved()
	ss.mu.Lock()
	ss.listens[&cancel] = struct{}{}
	ss.mu.Unlock()
	ss.h.cfg.Metrics.streamOpened("http")
	return func() {
		ss.mu.Lock()
		delete(ss.listens, &cancel)
		ss.mu.Unlock()
		ss.h.cfg.Metrics.streamClosed("http")
	}, nil
}

// get finds a session, nil if there is none.
func (ss *sessions) get(id string, sse bool) *session {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if s := ss.byID[id]; s != nil && s.isSSE() == sse {
		return s
	}
	return nil
}

// open opens a session of streamable HTTP.
func (ss *sessions) open() *session {
	s := &session{id: uuid.NewString(), used: time.Now()}
	ss.add(s)
	return s
}

// openSSE opens a session that lives as long as its stream.
func (ss *sessions) openSSE(life context.Context) *session {
	s := &session{id: uuid.NewString(), life: life, used: time.Now()}
	ss.add(s)
	return s
}

func (ss *sessions) add(s *session) {
	ss.mu.Lock()
	ss.byID[s.id] = s
	ss.mu.Unlock()
	ss.h.cfg.Metrics.sessionOpened(s.transport())
}

// remove forgets a session and ends its streams. One that is not open is no
// error.
func (ss *sessions) remove(id string) {
	ss.mu.Lock()
	s := ss.byID[id]
	delete(ss.byID, id)
	ss.mu.Unlock()
	if s == nil {
		return
	}
	s.end(true)
	ss.c.server.watcher.drop(s.outbox.subscriber())
	ss.c.server.claimer.SessionEnded(s.id)
	s.outbox.close()
	ss.h.cfg.Metrics.sessionClosed(s.transport())
}

// Generate opens a session for an initialize request.
func (ss *sessions) Generate() string {
	s := ss.open()
	// An id that was never used before can't be taken.
	_ = ss.c.server.mcp.RegisterSession(context.Background(), s)
	return s.id
}

// errNoSession is what mcp-go is told of an id that names no open session.
var errNoSession = errors.New("no such session")

// Validate reports whether a session is open.
func (ss *sessions) Validate(id string) (terminated bool, err error) {
	if ss.get(id, false) == nil {
		return false, errNoSession
	}
	return false, nil
}

// Terminate ends a session. One that is not open is no error.
func (ss *sessions) Terminate(id string) (notAllowed bool, err error) {
	ss.remove(id)
	return false, nil
}

// drop ends a session of streamable HTTP here and at mcp-go, which has no other
// way to it than a request.
func (ss *sessions) drop(id string) {
	ss.c.streamable.Handle(discard{}, &mcpserver.HTTPRequest{
		Method:  http.MethodDelete,
		Header:  http.Header{mcpserver.HeaderKeySessionID: {id}},
		Context: context.Background(),
	})
}

// sweep drops sessions that have been idle since before a time.
func (ss *sessions) sweep(before time.Time) {
	for _, s := range ss.all() {
		if !s.isSSE() && s.idleSince(before) {
			ss.drop(s.id)
		}
	}
}

func (ss *sessions) endStreams() {
	ss.mu.Lock()
	for cancel := range ss.listens {
		(*cancel)()
	}
	ss.mu.Unlock()
	for _, s := range ss.all() {
		s.end(false)
	}
}

func (ss *sessions) close() {
	for _, s := range ss.all() {
		if s.isSSE() {
			ss.remove(s.id)
		} else {
			ss.drop(s.id)
		}
	}
}

func (ss *sessions) all() []*session {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return slices.Collect(maps.Values(ss.byID))
}

func (s *session) isSSE() bool { return s.life != nil }

func (s *session) transport() string {
	if s.isSSE() {
		return "sse"
	}
	return "http"
}

// begin notes a request, which the function it gives ends.
func (s *session) begin() (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running--
		s.used = time.Now()
	}
}

func (s *session) idleSince(t time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running == 0 && len(s.streams) == 0 && s.used.Before(t)
}

// openStream notes a stream that cancel ends, and gives it an id of its own at
// mcp-go, where it counts as a session.
func (s *session) openStream(cancel context.CancelFunc) (id string, p *problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return "", noSession()
	case len(s.streams) >= maxStreams:
		return "", busy(http.StatusTooManyRequests, "too_many_sessions", "Too many streams of this session are open")
	}
	if s.streams == nil {
		s.streams = map[string]context.CancelFunc{}
	}
	s.opened++
	id = s.id + "/" + strconv.Itoa(s.opened)
	s.streams[id] = cancel
	return id, nil
}

func (s *session) closeStream(id string) {
	s.outbox.detach(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, id)
	s.used = time.Now()
}

// end ends a session's streams, and with closed lets none begin any more.
func (s *session) end(closed bool) {
	s.mu.Lock()
	s.closed = s.closed || closed
	cancels := slices.Collect(maps.Values(s.streams))
	s.mu.Unlock()
	for _, cancel := range cancels {
		cancel()
	}
}

// owe notes that a request awaits its answer on the session's stream, and what
// to do when it is there.
func (s *session) owe(id string, answered func(delivered bool)) *problem {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return noSession()
	case s.pending[id] != nil:
		return refusal(http.StatusBadRequest, "bad_request", "Invalid request: a request with this id is still running")
	case len(s.pending) >= maxPending:
		return busy(http.StatusTooManyRequests, "too_many_calls", "Too many requests of this session are running; try again when one has ended")
	}
	if s.pending == nil {
		s.pending = map[string]func(bool){}
	}
	s.pending[id] = answered
	return nil
}

// paying takes out the request whose answer is about to be written, or never
// will be, and gives what to say that to. An id that is owed nothing is no error.
func (s *session) paying(id string) (answered func(delivered bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answered = s.pending[id]
	delete(s.pending, id)
	if answered == nil {
		return func(bool) {}
	}
	return answered
}

// owed gives the ids of the requests without an answer.
func (s *session) owed() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.pending))
}

func noSession() *problem {
	return refusal(http.StatusNotFound, "no_session", "Session not found: it has ended, or was dropped because it was idle; initialize a new one")
}

// discard is the answer to a request that nobody made.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) WriteHeader(int)             {}
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) Flush()                      {}
func (discard) CanStream() bool             { return false }
