package server

import (
	"context"
	"log/slog"

	"kubbi-mcp/tools"
)

// observe writes the one log line of a tool call. Whatever it holds is ours:
// nothing that came from outside gets in but sizes.
func (s *Server) observe(ctx context.Context, c tools.Call) {
	r := requestOf(ctx)
	attrs := []slog.Attr{slog.String("tool", c.Tool), slog.String("transport", r.transport)}
	if s.caller != "" {
		attrs = append(attrs, slog.String("caller", s.caller))
	}
	attrs = append(attrs,
		slog.Duration("duration", c.Took),
		slog.Int("request_bytes", r.size),
		slog.Int("answer_bytes", c.AnswerBytes),
		slog.String("outcome", c.Outcome))
	s.log.LogAttrs(ctx, slog.LevelInfo, "tool call", attrs...)
}
