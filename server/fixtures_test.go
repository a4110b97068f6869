package server_test

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"kubbi-mcp/server/transport"
)

// addFixtures adds what the conformance suite requires of a server: certain tools,
// resources, prompts and capabilities.
func addFixtures(s *mcpserver.MCPServer) error {
	for _, add := range []mcpserver.ServerOption{
		mcpserver.WithToolCapabilities(true),
		mcpserver.WithResourceCapabilities(true, true),
		mcpserver.WithPromptCapabilities(true),
		mcpserver.WithCompletions(),
		mcpserver.WithLogging(),
		mcpserver.WithElicitation(),
		mcpserver.WithExtensions(map[string]any{
			"io.modelcontextprotocol/skills": map[string]any{},
			"io.modelcontextprotocol/tasks":  map[string]any{},
		}),
	} {
		add(s)
	}
	s.EnableSampling()
	f := &fixtures{server: s, key: newStateKey()}
	for _, group := range [][]fixture{f.contents(), f.notifying(), f.asking(), f.inputRequired(), f.stateless(), f.tasks()} {
		for _, tool := range group {
			f.add(tool)
		}
	}
	f.addResources()
	f.addPrompts()
	return nil
}

// fixtures are what the handlers share.
type fixtures struct {
	server *mcpserver.MCPServer
	key    []byte // for states that the client keeps
}

// fixture is one of the suite's tools.
type fixture struct {
	name, description string
	schema            string // of the arguments; "": there are none
	handle            mcpserver.ToolHandlerFunc
}

// add adds a tool, with the same check of arguments as our own tools.
func (f *fixtures) add(x fixture) {
	schema := x.schema
	if schema == "" {
		schema = `{"type":"object","properties":{},"additionalProperties":false}`
	}
	tool := mcp.NewToolWithRawSchema(x.name, x.description, json.RawMessage(schema))
	f.server.AddTool(tool, validated(tool, x.handle))
}

// result makes a handler that always returns the same content.
func result(content ...mcp.Content) mcpserver.ToolHandlerFunc {
	return func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return &mcp.CallToolResult{Content: content}, nil
	}
}

// contents are the tools for kinds of content and for arguments.
func (f *fixtures) contents() []fixture {
	return []fixture{
		{name: "test_simple_text", description: "Gives a text.",
			handle: result(mcp.NewTextContent("This is a simple text response for testing."))},
		{name: "test_image_content", description: "Gives an image.",
			handle: result(mcp.NewImageContent(pixel, "image/png"))},
		{name: "test_audio_content", description: "Gives a sound.",
			handle: result(mcp.NewAudioContent(silence, "audio/wav"))},
		{name: "test_embedded_resource", description: "Gives a resource.",
			handle: result(mcp.NewEmbeddedResource(mcp.TextResourceContents{
				URI: "test://embedded-resource", MIMEType: "text/plain", Text: "This is an embedded resource content.",
			}))},
		{name: "test_multiple_content_types", description: "Gives a text, an image and a resource.",
			handle: result(
				mcp.NewTextContent("Multiple content types test:"),
				mcp.NewImageContent(pixel, "image/png"),
				mcp.NewEmbeddedResource(mcp.TextResourceContents{
					URI: "test://mixed-content-resource", MIMEType: "application/json", Text: `{"test":"data","value":123}`,
				}),
			)},
		{name: "test_error_handling", description: "Always fails.",
			handle: func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				return mcp.NewToolResultError("This tool intentionally returns an error for testing"), nil
			}},
		{name: "json_schema_2020_12_tool", description: "Takes arguments that only JSON Schema 2020-12 can describe.",
			schema: schema202012,
			handle: result(mcp.NewTextContent("The arguments match the schema."))},
		{name: "test_custom_headers", description: "Takes an argument that a header repeats.",
			schema: `{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}},"required":["region"]}`,
			handle: f.checkHeaders},
	}
}

// checkHeaders refuses a call whose headers differ from its arguments, as protocol
// version 2026-07-28 wants of tools that have such headers.
func (f *fixtures) checkHeaders(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	call := transport.CallOf(ctx)
	params, err := json.Marshal(map[string]json.RawMessage{"name": json.RawMessage(strconv.Quote(call.Tool)), "arguments": json.RawMessage(call.Arguments)})
	if err != nil {
		return nil, err
	}
	header := func(name string) (string, bool) {
		values := call.Header.Values(name)
		if len(values) == 0 {
			return "", false
		}
		return values[0], true
	}
	tool := f.server.GetTool(call.Tool).Tool
	if err := mcp.ValidateParamHeadersLookup(header, &tool, params); err != nil {
		call.Fail(&transport.Error{Code: mcp.HEADER_MISMATCH, Message: err.Error()})
		return nil, errFailed
	}
	return mcp.NewToolResultText("The header matches the argument."), nil
}

// schema202012 is exactly the schema that the suite requires.
const schema202012 = `{
	"$schema": "https://json-schema.org/draft/2020-12/schema",
	"type": "object",
	"$defs": {
		"address": {
			"$anchor": "addressDef",
			"type": "object",
			"properties": {"street": {"type": "string"}, "city": {"type": "string"}}
		}
	},
	"properties": {
		"name": {"type": "string"},
		"address": {"$ref": "#/$defs/address"},
		"contactMethod": {"type": "string", "enum": ["phone", "email"]},
		"phone": {"type": "string"},
		"email": {"type": "string"}
	},
	"allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
	"if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
	"then": {"required": ["phone"]},
	"else": {"required": ["email"]},
	"additionalProperties": false
}`

const (
	pixel   = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==" // 1 by 1, PNG
	silence = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="                                     // WAV
)
