package server_test

import (
	"context"
	"errors"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"kubbi-mcp/server/transport"
)

// pause is the time between notifications that the suite requires.
const pause = 50 * time.Millisecond

// notifying are the tools that send notifications before they answer.
func (f *fixtures) notifying() []fixture {
	return []fixture{
		{name: "test_tool_with_logging", description: "Logs as it runs.", handle: f.logs},
		{name: "test_tool_with_progress", description: "Reports its progress.", handle: f.progress},
	}
}

func (f *fixtures) logs(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	for i, message := range []string{"Tool execution started", "Tool processing data", "Tool execution completed"} {
		if i > 0 {
			if err := wait(ctx, pause); err != nil {
				return nil, err
			}
		}
		n := mcp.NewLoggingMessageNotification(mcp.LoggingLevelInfo, "conformance", message)
		if err := f.server.SendLogMessageToClient(ctx, n); err != nil {
			return nil, err
		}
	}
	return mcp.NewToolResultText("Tool with logging executed successfully"), nil
}

func (f *fixtures) progress(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	if req.Params.Meta == nil || req.Params.Meta.ProgressToken == nil {
		return mcp.NewToolResultText("No progress was asked for."), nil
	}
	for i, done := range []int{0, 50, 100} {
		if i > 0 {
			if err := wait(ctx, pause); err != nil {
				return nil, err
			}
		}
		if err := f.server.SendNotificationToClient(ctx, string(mcp.MethodNotificationProgress), map[string]any{
			"progressToken": req.Params.Meta.ProgressToken, "progress": done, "total": 100,
		}); err != nil {
			return nil, err
		}
	}
	return mcp.NewToolResultText("Progress was reported."), nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// errFailed is returned after Call.Fail, whose error is the answer.
var errFailed = errors.New("failed")

// stateless are the tools for what replaces sessions in protocol version 2026-07-28.
func (f *fixtures) stateless() []fixture {
	return []fixture{
		{name: "test_missing_capability", description: "Needs a client that can sample.",
			handle: func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				if capabilities(ctx).Sampling == nil {
					transport.CallOf(ctx).Fail(&transport.Error{
						Code:    mcp.MISSING_REQUIRED_CLIENT_CAPABILITY,
						Message: mcp.MissingRequiredClientCapabilityError{Capability: "sampling"}.Error(),
						Data:    map[string]any{"requiredCapabilities": map[string]any{"sampling": struct{}{}}},
					})
					return nil, errFailed
				}
				return mcp.NewToolResultText("The client can sample."), nil
			}},
		{name: "test_logging_tool", description: "Logs as it runs.", handle: f.logs},
		{name: "test_streaming_elicitation", description: "Asks the user before it answers.",
			handle: f.ask("", func(ask *mcpserver.InputRequestBuilder) { ask.Elicit("name", askString("What is your name?", "name")) })},
		{name: "test_trigger_tool_change", description: "Changes the list of tools.",
			handle: func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				f.add(fixture{name: "test_passing_tool", description: "Is there for a moment.", handle: result(mcp.NewTextContent("Still there."))})
				f.server.DeleteTools("test_passing_tool")
				return mcp.NewToolResultText("The list has changed."), nil
			}},
		{name: "test_trigger_prompt_change", description: "Changes the list of prompts.",
			handle: func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				f.server.AddPrompt(mcp.NewPrompt("test_passing_prompt"), promptText("Still there."))
				f.server.DeletePrompts("test_passing_prompt")
				return mcp.NewToolResultText("The list has changed."), nil
			}},
	}
}

// capabilities gives the capabilities that the client declares in a request.
func capabilities(ctx context.Context) mcp.ClientCapabilities {
	if info := mcpserver.RequestProtocolInfoFromContext(ctx); info != nil && info.ClientCapabilities != nil {
		return *info.ClientCapabilities
	}
	return mcp.ClientCapabilities{}
}
