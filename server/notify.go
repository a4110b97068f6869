package server

import (
	"context"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools"
)

// progressEvery is how often a client is told of progress at most.
const progressEvery = 100 * time.Millisecond

// withProgress has a tool's client told how far its payload has moved, if it has
// asked for that.
func (s *Server) withProgress(next mcpserver.ToolHandlerFunc) mcpserver.ToolHandlerFunc {
	return func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if req.Params.Meta != nil && req.Params.Meta.ProgressToken != nil {
			p := &progress{server: s.mcp, ctx: ctx, token: req.Params.Meta.ProgressToken, last: -1}
			ctx = tools.WithProgress(ctx, p.report)
		}
		return next(ctx, req)
	}
}

// progress tells a client how far a payload has moved: at most as often as
// progressEvery says, but of its start and its end.
type progress struct {
	server *mcpserver.MCPServer
	ctx    context.Context // of the call
	token  any

	mu   sync.Mutex
	last int64 // what was told last; below 0: nothing
	told time.Time
}

// report is a kubbi.Progress. Another attempt of a call starts anew: until it
// has come as far as the one before, there is nothing to tell.
func (p *progress) report(done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first, end := p.last < 0, total > 0 && done >= total
	if done <= p.last || !first && !end && time.Since(p.told) < progressEvery {
		return
	}
	p.last, p.told = done, time.Now()
	params := map[string]any{"progressToken": p.token, "progress": done}
	if total > 0 {
		params["total"] = total
	}
	// A client that takes nothing misses something.
	_ = p.server.SendNotificationToClient(p.ctx, string(mcp.MethodNotificationProgress), params)
}

// called is told of every tool call.
func (s *Server) called(ctx context.Context, c tools.Call) {
	s.observe(ctx, c)
	s.tell(ctx, c)
	if c.Tool == "claim" || c.Tool == "delete" {
		s.watcher.changed()
	}
}

// tell logs a call to the client that made it, if it wants to know. What the
// client has got wrong, its answer says.
func (s *Server) tell(ctx context.Context, c tools.Call) {
	level := mcp.LoggingLevelWarning
	switch c.Outcome {
	case tools.OutcomeOK:
		level = mcp.LoggingLevelDebug
	case tools.OutcomeBadArguments, string(api.CodeValidation), string(api.CodeTooLarge):
		return
	}
	// One that takes no log messages, or none of the level, is no fault.
	_ = s.mcp.SendLogMessageToClient(ctx, mcp.NewLoggingMessageNotification(level, "kubbi-mcp", map[string]any{
		"tool":        c.Tool,
		"outcome":     c.Outcome,
		"duration_ms": c.Took.Milliseconds(),
	}))
}
