package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// validated checks the arguments of one of the suite's tools against its schema
// before its handler gets them. Our own tools have package args for that.
func validated(tool mcp.Tool, handle mcpserver.ToolHandlerFunc) mcpserver.ToolHandlerFunc {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(tool.RawInputSchema))
	if err != nil {
		panic(fmt.Sprintf("%s: %v", tool.Name, err))
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("mem:///schema.json", doc); err != nil {
		panic(fmt.Sprintf("%s: %v", tool.Name, err))
	}
	schema := c.MustCompile("mem:///schema.json")
	return func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		b, err := json.Marshal(req.GetRawArguments())
		if err != nil {
			return nil, err
		}
		args := map[string]any{}
		if err := json.Unmarshal(b, &args); err != nil {
			return nil, err
		}
		if err := schema.Validate(args); err != nil {
			return mcp.NewToolResultError("Wrong arguments: " + err.Error()), nil
		}
		req.Params.Arguments = args
		return handle(ctx, req)
	}
}
