package server

import (
	"context"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"kubbi-mcp/tools"
)

// progressInterval is the shortest time between two progress notifications of a call.
const progressInterval = 100 * time.Millisecond

// withProgress notifies the client of a tool's progress, if the client has asked for
// that.
func (s *Server) withProgress(next mcpserver.ToolHandlerFunc) mcpserver.ToolHandlerFunc {
	return func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if req.Params.Meta != nil && req.Params.Meta.ProgressToken != nil {
			p := &progress{server: s.mcp, ctx: ctx, token: req.Params.Meta.ProgressToken, done: -1}
			ctx = tools.WithProgress(ctx, p.report)
		}
		return next(ctx, req)
	}
}

// progress notifies a client how many bytes of a payload were moved.
type progress struct {
	server *mcpserver.MCPServer
	ctx    context.Context // of the call
	token  any

	mu   sync.Mutex
	done int64 // in the last notification; below 0: there was none
	sent time.Time
}

// report is a kubbi.Progress. It always notifies of the start and the end. When the client
// retries a request, report is silent until more bytes are moved than before.
func (p *progress) report(done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first, end := p.done < 0, total > 0 && done >= total
	if done <= p.done || !first && !end && time.Since(p.sent) < progressInterval {
		return
	}
	p.done, p.sent = done, time.Now()
	params := map[string]any{"progressToken": p.token, "progress": done}
	if total > 0 {
		params["total"] = total
	}
	// An error means that the client takes no notifications. The call goes on.
	_ = p.server.SendNotificationToClient(p.ctx, string(mcp.MethodNotificationProgress), params)
}
