package transport

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/mark3labs/mcp-go/mcp"
)

// Session is a client's session on one of the transports. mcp-go uses it as its own
// session too; within a request mcp-go uses the Call instead.
type Session struct {
	// State is what the Handler keeps of the session. SessionOpened sets it.
	State any

	cfg       Config
	id        string
	transport string
	stateless bool // for one request, of a protocol version without sessions

	life context.Context
	end  context.CancelFunc
	out  *outbox

	calls    calls
	requests clientRequests

	initialized  atomic.Bool
	level        shared[mcp.LoggingLevel]
	client       shared[mcp.Implementation]
	capabilities shared[mcp.ClientCapabilities]
	version      shared[string]

	mu         sync.Mutex
	broadcasts chan mcp.JSONRPCNotification // to all sessions; nil: there is no stream yet
	streams    int                          // open
	running    int                          // HTTP requests
	used       time.Time
}

// How many notifications may wait for the goroutine that takes them. mcp-go drops
// the others.
const (
	maxNotifications = 100 // of a call
	maxBroadcasts    = 16  // of a session; few, since a quiet session should take little memory
)

// newSession makes a session. It ends when life ends, or before.
func newSession(life context.Context, cfg Config, transport string) *Session {
	s := &Session{cfg: cfg, id: uuid.NewString(), transport: transport, used: time.Now()}
	s.level.set(mcp.LoggingLevelError) // mcp-go's default
	s.life, s.end = context.WithCancel(life)
	s.out = newOutbox(s.life)
	return s
}

// open makes a session known to mcp-go and the Handler.
func (s *Session) open() {
	_ = s.cfg.MCP.RegisterSession(s.life, s) // fails only if the id is taken
	s.cfg.Handler.SessionOpened(s)
}

// close ends a session, its streams and its calls.
func (s *Session) close() {
	s.end()
	s.out.close()
	if !s.stateless {
		s.cfg.MCP.UnregisterSession(context.WithoutCancel(s.life), s.id)
		s.cfg.Handler.SessionClosed(s)
	}
}

// SessionID is unique, and can't be guessed. It is empty for a request of a protocol version without sessions.
func (s *Session) SessionID() string {
	if s.stateless {
		return ""
	}
	return s.id
}

// Transport is the name of the session's transport.
func (s *Session) Transport() string { return s.transport }

// Context ends with the session.
func (s *Session) Context() context.Context { return s.life }

// receive serves a message that is no request: a notification, or the answer to a request
// of ours.
func (s *Session) receive(ctx context.Context, m *message) {
	if m.method != nil {
		s.notified(ctx, m)
	} else if !s.requests.answered(m) {
		s.cfg.Log.Debug("answer to no request of ours", "transport", s.transport)
	}
}

func (s *Session) notified(ctx context.Context, m *message) {
	defer func() {
		if r := recover(); r != nil {
			LogPanic(s.cfg.Log, m.name, r)
		}
	}()
	if m.name == string(mcp.MethodNotificationCancelled) {
		// Over stdio the client may use the id again at once, so it gets no answer.
		s.calls.cancel(string(m.object.requestID), s.transport == Stdio)
		return
	}
	s.cfg.MCP.HandleMessage(s.cfg.MCP.WithContext(ctx, s), m.encode())
}

// ResourceUpdated tells the client that a resource has changed, as soon as there
// is a stream to it.
func (s *Session) ResourceUpdated(uri string) {
	s.out.update(uri, encodeNotification(resourceUpdated(uri)))
}

// NotificationChannel takes notifications that belong to no request. Without a
// stream they are dropped.
func (s *Session) NotificationChannel() chan<- mcp.JSONRPCNotification {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broadcasts
}

// openStream counts one more stream to the client, and gives the broadcasts, which the
// stream must carry in addition to the outbox. ok is false if there are too many streams.
func (s *Session) openStream(most int) (broadcasts <-chan mcp.JSONRPCNotification, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams >= most {
		return nil, false
	}
	s.streams++
	if s.broadcasts == nil {
		s.broadcasts = make(chan mcp.JSONRPCNotification, maxBroadcasts)
	}
	return s.broadcasts, true
}

func (s *Session) closeStream() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams--
	if s.streams == 0 {
		s.broadcasts = nil
	}
	s.used = time.Now()
}

// beginRequest counts an HTTP request, which the function it gives ends.
func (s *Session) beginRequest() (end func()) {
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

func (s *Session) idleSince(t time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running == 0 && s.streams == 0 && s.used.Before(t)
}

// Initialize notes that the client has introduced itself.
func (s *Session) Initialize() { s.initialized.Store(true) }

// Initialized reports whether the client has introduced itself.
func (s *Session) Initialized() bool { return s.initialized.Load() }

// SetLogLevel sets the lowest level of log messages that the client wants.
func (s *Session) SetLogLevel(level mcp.LoggingLevel) { s.level.set(level) }

// GetLogLevel gives the lowest level of log messages that the client wants.
func (s *Session) GetLogLevel() mcp.LoggingLevel { return s.level.get() }

// SetClientInfo notes the client's own name and version.
func (s *Session) SetClientInfo(i mcp.Implementation) { s.client.set(i) }

// GetClientInfo gives the client's own name and version.
func (s *Session) GetClientInfo() mcp.Implementation { return s.client.get() }

// SetClientCapabilities notes the capabilities that the client declared.
func (s *Session) SetClientCapabilities(c mcp.ClientCapabilities) { s.capabilities.set(c) }

// GetClientCapabilities gives the capabilities that the client declared.
func (s *Session) GetClientCapabilities() mcp.ClientCapabilities { return s.capabilities.get() }

// SetProtocolVersion notes the version that initialize settled on.
func (s *Session) SetProtocolVersion(v string) { s.version.set(v) }

// ProtocolVersion is the version that initialize settled on, "" before it.
func (s *Session) ProtocolVersion() string { return s.version.get() }

// shared is a value that calls read and write in parallel.
type shared[T any] struct {
	mu    sync.Mutex
	value T
}

func (s *shared[T]) get() T {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.value
}

func (s *shared[T]) set(v T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.value = v
}
