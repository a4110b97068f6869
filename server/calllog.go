package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/server/transport"
	"kubbi-mcp/tools"
)

// unknownTool stands for a call of a tool that does not exist. Its name came from
// outside and is not logged.
var unknownTool = tools.Call{Tool: "other", Outcome: "unknown_tool"}

// toolCalled is called after every call of one of our tools.
func (s *Server) toolCalled(ctx context.Context, c tools.Call) {
	s.logCall(ctx, c)
	s.sendLogMessage(ctx, c)
	if c.Tool == "claim" || c.Tool == "delete" {
		s.watcher.changed()
	}
}

// logCall counts a tool call and writes its one log line. Nothing that came from
// outside is in it, except sizes and the trace id, which is hexadecimal.
func (s *Server) logCall(ctx context.Context, c tools.Call) {
	transport, size := originOf(ctx)
	s.cfg.Metrics.called(transport, size, c)
	if !s.cfg.Logger.Enabled(ctx, slog.LevelInfo) {
		return
	}
	attrs := []slog.Attr{slog.String("tool", c.Tool), slog.String("transport", transport)}
	if s.cfg.Caller != "" {
		attrs = append(attrs, slog.String("caller", s.cfg.Caller))
	}
	attrs = append(attrs,
		slog.Duration("duration", c.Took),
		slog.Int("request_bytes", size),
		slog.Int("answer_bytes", c.AnswerBytes),
		slog.String("outcome", c.Outcome))
	s.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "tool call", withTraceID(ctx, attrs)...)
}

// sendLogMessage logs a call to the client, if the client wants log messages. It
// leaves out errors in what the client has sent, since the answer explains them.
func (s *Server) sendLogMessage(ctx context.Context, c tools.Call) {
	level := mcp.LoggingLevelWarning
	switch c.Outcome {
	case tools.OutcomeOK:
		level = mcp.LoggingLevelDebug
	case tools.OutcomeBadArguments, string(api.CodeValidation), string(api.CodeTooLarge):
		return
	}
	// An error means that the client takes no messages, or none of this level.
	_ = s.mcp.SendLogMessageToClient(ctx, mcp.NewLoggingMessageNotification(level, "kubbi-mcp", map[string]any{
		"tool":        c.Tool,
		"outcome":     c.Outcome,
		"duration_ms": c.Took.Milliseconds(),
	}))
}

// addLogHooks logs the requests that are no calls of our tools. It also replaces mcp-go's
// error about a tool that does not exist.
func (s *Server) addLogHooks(hooks *mcpserver.Hooks) {
	hooks.AddOnSuccess(func(ctx context.Context, _ any, method mcp.MCPMethod, _, _ any) {
		s.logRequest(ctx, method, true)
	})
	hooks.AddOnError(func(ctx context.Context, _ any, method mcp.MCPMethod, _ any, err error) {
		if method == mcp.MethodToolsCall && errors.Is(err, mcpserver.ErrToolNotFound) {
			s.logCall(ctx, unknownTool)
			if c := transport.CallOf(ctx); c != nil {
				c.Fail(&transport.Error{Code: mcp.INVALID_PARAMS, Message: fmt.Sprintf("There is no tool %q", c.Tool)})
			}
			return
		}
		s.logRequest(ctx, method, false)
	})
}

// logRequest logs a request that was served. It leaves out the text of an error, which
// may quote what the client sent. The method is known: unknown methods were refused.
func (s *Server) logRequest(ctx context.Context, method mcp.MCPMethod, ok bool) {
	if method == mcp.MethodToolsCall || !s.cfg.Logger.Enabled(ctx, slog.LevelDebug) {
		return
	}
	transport, _ := originOf(ctx)
	s.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "request served", withTraceID(ctx, []slog.Attr{
		slog.String("method", string(method)), slog.String("transport", transport), slog.Bool("ok", ok),
	})...)
}

// originOf says how the request in ctx came in, and its size in bytes.
func originOf(ctx context.Context) (transportName string, size int) {
	if c := transport.CallOf(ctx); c != nil {
		return c.Transport(), c.Size
	}
	return "", 0
}

func withTraceID(ctx context.Context, attrs []slog.Attr) []slog.Attr {
	if id := kubbi.TraceID(ctx); id != "" {
		attrs = append(attrs, slog.String("trace_id", id))
	}
	return attrs
}
