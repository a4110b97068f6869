package server

import (
	"context"

	mcpserver "github.com/mark3labs/mcp-go/server"

	"kubbi-mcp/server/transport"
)

// session is what the server keeps of a client's session.
type session struct {
	*transport.Session

	updates   subscriber // of resources/subscribe
	roots     roots
	consents  consentRequests
	clipboard clipboardConsent
}

// sessionOf gives the session that a context belongs to, nil if there is none.
func sessionOf(ctx context.Context) *session {
	var ts *transport.Session
	switch s := mcpserver.ClientSessionFromContext(ctx).(type) {
	case *transport.Call:
		ts = s.Session
	case *transport.Session:
		ts = s
	default:
		return nil
	}
	s, _ := ts.State.(*session)
	return s
}

// SessionOpened implements transport.Handler.
func (h handler) SessionOpened(ts *transport.Session) {
	s := &session{Session: ts}
	s.updates.send = ts.ResourceUpdated
	ts.State = s
	h.cfg.Metrics.sessionsChanged(ts.Transport(), 1)
}

// SessionClosed implements transport.Handler.
func (h handler) SessionClosed(ts *transport.Session) {
	if s, ok := ts.State.(*session); ok {
		h.watcher.drop(&s.updates)
	}
	h.claimer.SessionEnded(ts.SessionID())
	h.cfg.Metrics.sessionsChanged(ts.Transport(), -1)
}
