package server

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"kubbi-mcp/server/transport"
	"kubbi-mcp/tools/files"
)

// session is what the server keeps of a client's session.
type session struct {
	*transport.Session

	updates subscriber // of resources/subscribe

	roots        sync.Mutex     // guards what is known of the client's roots:
	folders      []files.Folder // those that are there
	rootsKnown   bool
	rootsAsOf    int64                         // rootsChanged, when they were asked for
	rootsLate    <-chan transport.ClientAnswer // to a request that was not answered in time
	rootsHeard   time.Time                     // when they were told, in a version without such requests
	rootsUnheard int                           // how often they were asked for since
	rootsChanged atomic.Int64                  // how often the client has said that they have

	questions questions // to the user, about folders
}

// sessionOf gives the session that a context belongs to, nil if there is none.
func sessionOf(ctx context.Context) *session {
	var of *transport.Session
	switch s := mcpserver.ClientSessionFromContext(ctx).(type) {
	case *transport.Call:
		of = s.Session
	case *transport.Session:
		of = s
	default:
		return nil
	}
	s, _ := of.State.(*session)
	return s
}

// SessionOpened implements transport.Handler.
func (h handler) SessionOpened(ts *transport.Session) {
	s := &session{Session: ts}
	s.updates.send = ts.ResourceUpdated
	ts.State = s
	h.metrics.sessionOpened(ts.Transport())
}

// SessionClosed implements transport.Handler.
func (h handler) SessionClosed(ts *transport.Session) {
	if s, ok := ts.State.(*session); ok {
		h.watcher.drop(&s.updates)
	}
	h.claimer.SessionEnded(ts.SessionID())
	h.metrics.sessionClosed(ts.Transport())
}

// rootsChanged notes that the client has other roots now.
func rootsChanged(ctx context.Context, _ mcp.JSONRPCNotification) {
	if s := sessionOf(ctx); s != nil {
		s.rootsChanged.Add(1)
	}
}
