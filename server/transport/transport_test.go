package transport

import (
	"context"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 60 * time.Second

const initialize = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}`

// dispatcher is a Handler that leaves everything to mcp-go.
type dispatcher struct{}

func (dispatcher) Handle(ctx context.Context, c *Call) mcp.JSONRPCMessage { return c.Dispatch(ctx) }
func (dispatcher) SessionOpened(*Session)                                 {}
func (dispatcher) SessionClosed(*Session)                                 {}
func (dispatcher) Subscribe(context.Context, *Call, string) error         { return nil }
func (dispatcher) Unsubscribe(*Call, string)                              {}

func testConfig(tools ...mcpserver.ServerTool) StdioConfig {
	m := mcpserver.NewMCPServer("test", "1", mcpserver.WithLogging(), mcpserver.WithToolCapabilities(true))
	m.AddTools(tools...)
	return StdioConfig{Config: Config{MCP: m, Handler: dispatcher{}}, MaxMessage: 1 << 20}
}
