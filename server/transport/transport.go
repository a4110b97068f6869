// Package transport carries MCP between clients and a server, over stdio,
// streamable HTTP and SSE. All three read messages in one way, keep one kind of
// Session, run each request as a Call, and send what it has to say through an
// ordered outbox. What a request means is for mcp-go's HandleMessage and a
// Handler.
package transport

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
)

// Names of the transports, for logs and metrics.
const (
	Stdio          = "stdio"
	StreamableHTTP = "http"
	SSE            = "sse"
)

// Config says what a transport serves. MCP and Handler must be set.
type Config struct {
	MCP     *mcpserver.MCPServer
	Handler Handler
	Log     *slog.Logger // nil: silent
}

func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Handler is the server behind a transport. Its methods run in parallel.
type Handler interface {
	// Handle answers a request. Call.Dispatch gives mcp-go's answer. A panic
	// becomes an internal error.
	Handle(ctx context.Context, c *Call) mcp.JSONRPCMessage

	// SessionOpened is called before the first request of a session, and
	// SessionClosed after the session has ended; neither for a request of a
	// protocol version without sessions.
	SessionOpened(s *Session)
	SessionClosed(s *Session)

	// Subscribe has Call.ResourceUpdated or Session.ResourceUpdated called when
	// a resource changes. It may call Call.Fail to say why it can't.
	Subscribe(ctx context.Context, c *Call, uri string) error
	Unsubscribe(c *Call, uri string)
	Subscriptions(c *Call) []string
	// Acknowledged is called when a subscriptions/listen request has been
	// acknowledged. Its stream must carry no update before that.
	Acknowledged(c *Call)
}

// LogPanic logs where a panic came from. It shows the value only if the runtime
// made it: any other may hold a payload.
func LogPanic(log *slog.Logger, method string, value any) {
	what := fmt.Sprintf("%T", value)
	if e, ok := value.(runtime.Error); ok {
		what = e.Error()
	}
	log.Error("panic", "method", method, "panic", what, "stack", string(debug.Stack()))
}
