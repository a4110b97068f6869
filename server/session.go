package server

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/tools/files"
)

// stdioSession is the one client of a stdio transport. mcp-go's own is a global;
// this one belongs to its ServeStdio call. All that we ask the client for is its
// roots and its user's word on folders; answers come by in stdio.serve.
type stdioSession struct {
	id            string
	life          context.Context // ends with the session
	notifications chan mcp.JSONRPCNotification
	initialized   atomic.Bool

	outbox outbox // of resources/subscribe

	write    func(context.Context, []byte) bool // a line, to the client
	requests atomic.Int64                       // to the client so far

	roots        sync.Mutex     // guards what is known of the client's roots:
	folders      []files.Folder // those that are there
	rootsKnown   bool
	rootsAsOf    int64         // rootsChanged, when they were asked for
	rootsLate    <-chan answer // to a request that was not answered in time
	rootsHeard   time.Time     // when they were told, in a version without such requests
	rootsUnheard int           // how often they were asked for since
	rootsChanged atomic.Int64  // how often the client has said that they have

	questions questions // to the user, about folders

	mu           sync.Mutex
	waiting      map[string]func([]byte) // takes an answer of the client's, by the request's id
	level        mcp.LoggingLevel
	client       mcp.Implementation
	capabilities mcp.ClientCapabilities
	version      string
}

// maxNotifications is how many notifications may wait to be written; mcp-go
// drops what comes on top.
const maxNotifications = 100

func newStdioSession(id string) *stdioSession {
	s := &stdioSession{
		id:            id,
		notifications: make(chan mcp.JSONRPCNotification, maxNotifications),
		level:         mcp.LoggingLevelError, // as mcp-go's own have it
	}
	s.outbox.attach(id, s.notifications)
	return s
}

// writeNotifications writes those that are waiting.
func (s *stdioSession) writeNotifications(w io.Writer) error {
	for {
		select {
		case n := <-s.notifications:
			if _, err := w.Write(encodeNotification(n)); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// SessionID is unique within the process.
func (s *stdioSession) SessionID() string { return s.id }

// Initialize notes that the client has introduced itself.
func (s *stdioSession) Initialize() { s.initialized.Store(true) }

// Initialized reports whether the client has introduced itself.
func (s *stdioSession) Initialized() bool { return s.initialized.Load() }

// NotificationChannel takes notifications to the client.
func (s *stdioSession) NotificationChannel() chan<- mcp.JSONRPCNotification { return s.notifications }

// SetLogLevel sets from which level on the client wants log messages.
func (s *stdioSession) SetLogLevel(level mcp.LoggingLevel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.level = level
}

// GetLogLevel is from which level on the client wants log messages.
func (s *stdioSession) GetLogLevel() mcp.LoggingLevel {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.level
}

// GetClientInfo is who the client said it is.
func (s *stdioSession) GetClientInfo() mcp.Implementation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client
}

// SetClientInfo notes who the client is.
func (s *stdioSession) SetClientInfo(i mcp.Implementation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client = i
}

// GetClientCapabilities is what the client said it can do.
func (s *stdioSession) GetClientCapabilities() mcp.ClientCapabilities {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.capabilities
}

// SetClientCapabilities notes what the client can do.
func (s *stdioSession) SetClientCapabilities(c mcp.ClientCapabilities) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.capabilities = c
}

// ProtocolVersion is the version that initialize settled on, empty before it.
func (s *stdioSession) ProtocolVersion() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}

// SetProtocolVersion notes the version that initialize settled on.
func (s *stdioSession) SetProtocolVersion(v string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version = v
}
