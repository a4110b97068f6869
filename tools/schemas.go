package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"kubbi-mcp/schemas"
)

// Schemas are the tools' JSON Schemas, ready to check with. They are read, and
// compiled at their first use, once for all who share them. The zero value is
// ready.
type Schemas struct {
	mu     sync.Mutex
	byTool map[string]*schemaPair
}

type schemaPair struct{ input, output *validator } // output is nil for a tool without structured content

// of gives the schemas of one of our tools.
func (s *Schemas) of(tool string) (*schemaPair, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.byTool[tool]; p != nil {
		return p, nil
	}
	input, err := schemas.Input(tool)
	if err != nil {
		return nil, err
	}
	output, err := schemas.Output(tool)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if s.byTool == nil {
		s.byTool = make(map[string]*schemaPair)
	}
	p := &schemaPair{input: &validator{schema: input, input: true}}
	if output != nil {
		p.output = &validator{schema: output}
	}
	s.byTool[tool] = p
	return p, nil
}

// Validated puts a check of the arguments before the handler of a tool that is
// not ours: what breaks the tool's input schema comes back as a result with
// isError, worded as for ours. The handler finds the arguments decoded.
func Validated(tool mcp.Tool, handle mcpserver.ToolHandlerFunc) mcpserver.ToolHandlerFunc {
	v := &validator{schema: tool.RawInputSchema, whole: true}
	if v.schema == nil {
		v.schema, v.err = json.Marshal(tool.InputSchema)
	}
	return func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		args, err := v.arguments(req)
		if err != nil {
			return problem(tool.Name, err), nil
		}
		var decoded map[string]any
		if err := jsonv2.Unmarshal(args, &decoded); err != nil {
			return problem(tool.Name, fmt.Errorf("decode arguments: %w", err)), nil
		}
		req.Params.Arguments = decoded
		return handle(ctx, req)
	}
}

// arguments gives a call's arguments, if they match the schema. Those of a tool of
// ours that don't are made to fit, where they can be read so.
func (v *validator) arguments(req mcp.CallToolRequest) (jsontext.Value, error) {
	args, err := rawArguments(req)
	if err != nil {
		return nil, err
	}
	err = v.check(args)
	var wrong argumentError
	if !v.input || !errors.As(err, &wrong) {
		return args, err
	}
	if args, err = v.shape.fit(args); err != nil {
		return nil, err
	}
	return args, v.check(args)
}
