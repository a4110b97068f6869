package server_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"kubbi-mcp/server/transport"
)

// A call of a fixture becomes a task after fixtureTaskAfter.
const (
	fixtureTaskAfter = 50 * time.Millisecond
	fixtureTakesLong = 4 * fixtureTaskAfter
)

// tasks are the tools for the tasks extension.
func (f *fixtures) tasks() []fixture {
	const filename = `{"type":"object","properties":{"filename":{"type":"string"}},"additionalProperties":false}`
	return []fixture{
		{name: "greet", description: "Answers at once.",
			schema: `{"type":"object","properties":{"name":{"type":"string"}},"additionalProperties":false}`,
			handle: func(_ context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				return mcp.NewToolResultText("Hello, " + req.GetString("name", "") + "!"), nil
			}},
		{name: "slow_compute", description: "Answers after some seconds.",
			schema: `{"type":"object","properties":{"seconds":{"type":"number"},"label":{"type":"string"}},"additionalProperties":false}`,
			handle: func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				if err := wait(ctx, time.Duration(req.GetFloat("seconds", 0)*float64(time.Second))); err != nil {
					return nil, err
				}
				return mcp.NewToolResultText("Computed " + req.GetString("label", "") + "."), nil
			}},
		{name: "failing_job", description: "Fails after a while, and only as a task.",
			handle: func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				if capabilities(ctx).Extensions["io.modelcontextprotocol/tasks"] == nil {
					transport.CallOf(ctx).Fail(&transport.Error{
						Code: mcp.MISSING_REQUIRED_CLIENT_CAPABILITY, Message: "this tool needs tasks",
						Data: map[string]any{"requiredCapabilities": map[string]any{
							"extensions": map[string]any{"io.modelcontextprotocol/tasks": struct{}{}}}},
					})
					return nil, errFailed
				}
				if err := wait(ctx, fixtureTakesLong); err != nil {
					return nil, err
				}
				return mcp.NewToolResultError("The job has failed."), nil
			}},
		{name: "protocol_error_job", description: "Ends with an error of the protocol.",
			handle: func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				return nil, errors.Join(wait(ctx, fixtureTakesLong), errors.New("the job has crashed"))
			}},
		{name: "confirm_delete", description: "Asks the user, as a task.", schema: filename,
			handle: f.askLate(func(ask *mcpserver.InputRequestBuilder) {
				ask.Elicit("confirm", askFor("Delete the file?", "confirm", "boolean"))
			})},
		{name: "multi_input", description: "Asks the user for two things at once, as a task.",
			handle: f.askLate(func(ask *mcpserver.InputRequestBuilder) {
				ask.Elicit("name", askString("What is your name?", "name"))
				ask.Elicit("confirm", askFor("Go on?", "confirm", "boolean"))
			})},
		{name: "test_tool_with_task", description: "Asks the user, and becomes a task with the answer.",
			handle: func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				res, err := f.ask("", func(ask *mcpserver.InputRequestBuilder) {
					ask.Elicit("user_name", askString("What is your name?", "name"))
				})(ctx, req)
				if err != nil || res.NeedsInput() {
					return res, err
				}
				return res, wait(ctx, fixtureTakesLong)
			}},
	}
}

// askLate makes a handler that asks once its call has become a task.
func (f *fixtures) askLate(what func(*mcpserver.InputRequestBuilder)) mcpserver.ToolHandlerFunc {
	return func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if len(req.Params.InputResponses) == 0 {
			if err := wait(ctx, fixtureTakesLong); err != nil {
				return nil, fmt.Errorf("ask: %w", err)
			}
		}
		return f.ask("", what)(ctx, req)
	}
}
