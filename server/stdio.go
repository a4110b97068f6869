package server

import (
	"context"
	"io"
	"strconv"

	"kubbi-mcp/server/transport"
)

// ServeStdio serves MCP on a pair of streams, until stdin ends or ctx does:
// transport.ServeStdio says how. When stdin ends, running calls get five seconds
// to answer.
func (s *Server) ServeStdio(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	return transport.ServeStdio(ctx, transport.StdioConfig{
		Config:     s.transportConfig(),
		SessionID:  "stdio-" + strconv.FormatInt(s.sessions.Add(1), 10),
		MaxMessage: s.maxMessage,
		EOFGrace:   s.eofGrace,
		StopGrace:  s.stopGrace,
		WriteGrace: s.writeGrace,
	}, stdin, stdout)
}

func (s *Server) transportConfig() transport.Config {
	return transport.Config{MCP: s.mcp, Handler: handler{s}, Log: s.log}
}
