package server

import (
	"context"
	"errors"
	"log/slog"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/tools"
)

// unknownTool is what is seen of a call of a tool that is not there. Its name
// came from outside.
var unknownTool = tools.Call{Tool: "other", Outcome: "unknown_tool"}

// observe counts a tool call, and writes its one log line. Nothing that came
// from outside gets in but sizes and the trace's id, which is hexadecimal.
func (s *Server) observe(ctx context.Context, c tools.Call) {
	r := requestOf(ctx)
	s.metrics.called(r, c)
	if !s.log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	attrs := []slog.Attr{slog.String("tool", c.Tool), slog.String("transport", r.transport)}
	if s.caller != "" {
		attrs = append(attrs, slog.String("caller", s.caller))
	}
	attrs = append(attrs,
		slog.Duration("duration", c.Took),
		slog.Int("request_bytes", r.size),
		slog.Int("answer_bytes", c.AnswerBytes),
		slog.String("outcome", c.Outcome))
	s.log.LogAttrs(ctx, slog.LevelInfo, "tool call", withTraceID(ctx, attrs)...)
}

// observeOthers adds hooks for what is not a call of one of our tools.
func (s *Server) observeOthers(hooks *mcpserver.Hooks) {
	hooks.AddOnSuccess(func(ctx context.Context, _ any, method mcp.MCPMethod, _, _ any) {
		s.served(ctx, method, true)
	})
	hooks.AddOnError(func(ctx context.Context, _ any, method mcp.MCPMethod, _ any, err error) {
		if method == mcp.MethodToolsCall && errors.Is(err, mcpserver.ErrToolNotFound) {
			s.observe(ctx, unknownTool)
			return
		}
		s.served(ctx, method, false)
	})
}

// served logs a request that mcp-go has served; it knows the method, or would
// have refused it. An error's text may quote what was sent.
func (s *Server) served(ctx context.Context, method mcp.MCPMethod, ok bool) {
	if method == mcp.MethodToolsCall || !s.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	r := requestOf(ctx)
	s.log.LogAttrs(ctx, slog.LevelDebug, "request served", withTraceID(ctx, []slog.Attr{
		slog.String("method", string(method)), slog.String("transport", r.transport), slog.Bool("ok", ok),
	})...)
}

func withTraceID(ctx context.Context, attrs []slog.Attr) []slog.Attr {
	if id := kubbi.TraceID(ctx); id != "" {
		attrs = append(attrs, slog.String("trace_id", id))
	}
	return attrs
}
