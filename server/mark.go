package server

import (
	"bytes"
	"context"
	"strconv"
	"sync"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
)

// marks keep a call's notifications before its answer. mcp-go hands them to a
// goroutine that the answer may overtake, or that drops the last one when it is
// late (https://github.com/mark3labs/mcp-go/pull/969). So a call that has sent
// any sends a mark behind them, and answers when that has come out at the reply,
// which keeps it to itself.
type marks struct {
	mu      sync.Mutex
	last    int64
	waiting map[int64]chan struct{}
}

const (
	markMethod = "kubbi-mcp/mark"
	markHead   = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"" + markMethod + "\",\"params\":{\"n\":" // of its event
)

// inOrder has a tool's answer wait until its notifications are on their way.
func (s *Server) inOrder(next mcpserver.ToolHandlerFunc) mcpserver.ToolHandlerFunc {
	return func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		res, err := next(ctx, req)
		if r := requestOf(ctx); r.notified.Load() {
			s.marks.follow(ctx, r.life)
		}
		return res, err
	}
}

// follow sends a mark to the session in ctx, and waits until it has come out,
// or nobody is left to see it: ctx or life, if not nil, has ended.
func (m *marks) follow(ctx, life context.Context) {
	if life == nil {
		life = ctx
	}
	session := mcpserver.ClientSessionFromContext(ctx)
	if session == nil {
		return
	}
	out := make(chan struct{})
	m.mu.Lock()
	m.last++
	n := m.last
	if m.waiting == nil {
		m.waiting = make(map[int64]chan struct{})
	}
	m.waiting[n] = out
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.waiting, n)
	}()
	var mark mcp.JSONRPCNotification
	mark.JSONRPC, mark.Method = mcp.JSONRPC_VERSION, markMethod
	mark.Params.AdditionalFields = map[string]any{"n": n}
	select {
	case session.NotificationChannel() <- mark:
	case <-ctx.Done():
		return
	case <-life.Done():
		return
	}
	select {
	case <-out:
	case <-ctx.Done():
	case <-life.Done():
	}
}

// take reports whether an event is a mark, and lets the call go on that has sent
// it.
func (m *marks) take(event []byte) bool {
	rest, ok := bytes.CutPrefix(event, []byte(markHead))
	if !ok {
		return false
	}
	digits, _, _ := bytes.Cut(rest, []byte("}"))
	n, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if out := m.waiting[n]; out != nil {
		close(out)
		delete(m.waiting, n)
	}
	return true
}

// noting gives a context whose session notes in the request that it has sent the
// client something.
func (s *Server) noting(ctx context.Context) context.Context {
	r := requestOf(ctx)
	switch session := mcpserver.ClientSessionFromContext(ctx).(type) {
	case streamableSession:
		if r.out == nil {
			return ctx // a stream of the session's
		}
		r.out.request = r
		return s.mcp.WithContext(ctx, notingStreamable{session, s, r})
	case sseSession:
		return s.mcp.WithContext(ctx, notingSSE{session, r})
	default:
		return ctx
	}
}

type (
	notingStreamable struct {
		streamableSession
		server  *Server
		request *request
	}
	notingSSE struct {
		sseSession
		request *request
	}
)

// NotificationChannel is the session's.
func (s notingStreamable) NotificationChannel() chan<- mcp.JSONRPCNotification {
	s.request.notified.Store(true)
	return s.streamableSession.NotificationChannel()
}

// NotificationChannel is the session's.
func (s notingSSE) NotificationChannel() chan<- mcp.JSONRPCNotification {
	s.request.notified.Store(true)
	return s.sseSession.NotificationChannel()
}
