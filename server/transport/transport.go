// Package transport carries MCP between clients and a server, over stdio, streamable HTTP
// and SSE. All three read messages in the same way, keep a Session for each client, run
// each request as a Call, and send its answer and notifications through an ordered outbox.
// mcp-go's HandleMessage and a Handler decide what a request means.
package transport

import (
	"cmp"
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
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	return c
}

// Handler is the server behind a transport. Its methods run in parallel.
type Handler interface {
	// Handle answers a request. Call.Dispatch gives mcp-go's answer. A panic
	// becomes an internal error.
	Handle(ctx context.Context, c *Call) mcp.JSONRPCMessage

	// SessionOpened is called before the first request of a session, and
	// SessionClosed after the session has ended. Neither is called for requests of
	// protocol versions without sessions.
	SessionOpened(s *Session)
	SessionClosed(s *Session)

	// Subscribe subscribes to a resource: when it changes, the Handler calls
	// Call.ResourceUpdated or Session.ResourceUpdated. On an error the Handler may
	// call Call.Fail with the answer.
	Subscribe(ctx context.Context, c *Call, uri string) error
	// Unsubscribe ends a subscription. Without one it does nothing.
	Unsubscribe(c *Call, uri string)
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
