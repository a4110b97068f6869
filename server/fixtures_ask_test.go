package server_test

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
)

// asking are the tools that send requests to the client, as in the protocol versions
// with sessions. In these versions mcp-go makes such requests of an answer that asks.
func (f *fixtures) asking() []fixture {
	return []fixture{
		{name: "test_sampling", description: "Asks the client's model.",
			schema: `{"type":"object","properties":{"prompt":{"type":"string"}},"required":["prompt"],"additionalProperties":false}`,
			handle: func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				prompt := req.GetString("prompt", "")
				return f.ask("", func(ask *mcpserver.InputRequestBuilder) { ask.Sample("answer", sample(prompt, 100)) })(ctx, req)
			}},
		{name: "test_elicitation", description: "Asks the user.",
			schema: `{"type":"object","properties":{"message":{"type":"string"}},"required":["message"],"additionalProperties":false}`,
			handle: func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				return f.elicit(ctx, req.GetString("message", ""), `{
					"type": "object",
					"properties": {
						"username": {"type": "string", "description": "User's response"},
						"email": {"type": "string", "description": "User's email address"}
					},
					"required": ["username", "email"]
				}`)
			}},
		{name: "test_elicitation_sep1034_defaults", description: "Asks the user, with answers filled in.",
			handle: func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				return f.elicit(ctx, "Check what is filled in", `{
					"type": "object",
					"properties": {
						"name": {"type": "string", "default": "John Doe"},
						"age": {"type": "integer", "default": 30},
						"score": {"type": "number", "default": 95.5},
						"status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
						"verified": {"type": "boolean", "default": true}
					}
				}`)
			}},
		{name: "test_elicitation_sep1330_enums", description: "Asks the user to choose.",
			handle: func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				return f.elicit(ctx, "Choose", `{
					"type": "object",
					"properties": {
						"untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
						"titledSingle": {"type": "string", "oneOf": [
							{"const": "value1", "title": "First Option"},
							{"const": "value2", "title": "Second Option"},
							{"const": "value3", "title": "Third Option"}]},
						"legacyEnum": {"type": "string", "enum": ["opt1", "opt2", "opt3"], "enumNames": ["Option One", "Option Two", "Option Three"]},
						"untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
						"titledMulti": {"type": "array", "items": {"anyOf": [
							{"const": "value1", "title": "First Choice"},
							{"const": "value2", "title": "Second Choice"},
							{"const": "value3", "title": "Third Choice"}]}}
					}
				}`)
			}},
	}
}

func (f *fixtures) elicit(ctx context.Context, message, schema string) (*mcp.CallToolResult, error) {
	answer, err := f.server.RequestElicitation(ctx, mcp.ElicitationRequest{
		Request: mcp.Request{Method: string(mcp.MethodElicitationCreate)},
		Params:  mcp.ElicitationParams{Message: message, RequestedSchema: json.RawMessage(schema)},
	})
	if err != nil {
		return mcp.NewToolResultError(err.Error()), nil
	}
	return mcp.NewToolResultText(fmt.Sprintf("User response: action=%s, content=%v", answer.Action, answer.Content)), nil
}

func sample(text string, most int) mcp.CreateMessageParams {
	return mcp.CreateMessageParams{
		Messages:  []mcp.SamplingMessage{{Role: mcp.RoleUser, Content: mcp.NewTextContent(text)}},
		MaxTokens: most,
	}
}

// askString asks the user for a string.
func askString(message, field string) mcp.ElicitationParams { return askFor(message, field, "string") }

func askFor(message, field, kind string) mcp.ElicitationParams {
	return mcp.ElicitationParams{Message: message, RequestedSchema: json.RawMessage(fmt.Sprintf(
		`{"type":"object","properties":{%q:{"type":%q}},"required":[%[1]q]}`, field, kind))}
}

// inputRequired are the tools whose answer asks the client, and which the client calls
// again with its answers, as in protocol version 2026-07-28.
func (f *fixtures) inputRequired() []fixture {
	return []fixture{
		{name: "test_input_required_result_elicitation", description: "Asks the user.",
			handle: f.ask("", func(ask *mcpserver.InputRequestBuilder) {
				ask.Elicit("user_name", askString("What is your name?", "name"))
			})},
		{name: "test_input_required_result_sampling", description: "Asks the client's model.",
			handle: f.ask("", func(ask *mcpserver.InputRequestBuilder) {
				ask.Sample("capital_question", sample("What is the capital of France?", 100))
			})},
		{name: "test_input_required_result_list_roots", description: "Asks for the client's roots.",
			handle: f.ask("", func(ask *mcpserver.InputRequestBuilder) { ask.Roots("client_roots") })},
		{name: "test_input_required_result_request_state", description: "Asks, and has the client keep where it was.",
			handle: f.ask("confirm", func(ask *mcpserver.InputRequestBuilder) {
				ask.Elicit("confirm", askFor("Please confirm", "ok", "boolean"))
			})},
		{name: "test_input_required_result_multiple_inputs", description: "Asks for several things at once.",
			handle: f.ask("all", func(ask *mcpserver.InputRequestBuilder) {
				ask.Elicit("user_name", askString("What is your name?", "name"))
				ask.Sample("greeting", sample("Generate a greeting", 50))
				ask.Roots("client_roots")
			})},
		{name: "test_input_required_result_tampered_state", description: "Refuses a state that is not its own.",
			handle: f.ask("confirm", func(ask *mcpserver.InputRequestBuilder) {
				ask.Elicit("confirm", askFor("Please confirm", "ok", "boolean"))
			})},
		{name: "test_input_required_result_multi_round", description: "Asks twice.", handle: f.askTwice},
		{name: "test_input_required_result_capabilities", description: "Asks only what the client can answer.",
			handle: func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				can := capabilities(ctx)
				return f.ask("", func(ask *mcpserver.InputRequestBuilder) {
					if can.Elicitation != nil {
						ask.Elicit("user_name", askString("What is your name?", "name"))
					}
					if can.Sampling != nil {
						ask.Sample("greeting", sample("Generate a greeting", 50))
					}
				})(ctx, req)
			}},
	}
}

// errState is the error for a state that does not come from us.
var errState = errors.New("this request state is not one that the server has given out")

// ask makes a handler that asks until everything is answered. The client keeps the state
// in sealed form; "" means no state.
func (f *fixtures) ask(state string, what func(*mcpserver.InputRequestBuilder)) mcpserver.ToolHandlerFunc {
	return func(_ context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if given := req.Params.RequestState; given != "" || state != "" && len(req.Params.InputResponses) > 0 {
			if opened, ok := f.open(given); !ok || opened != state {
				return nil, errState
			}
		}
		sealed := ""
		if state != "" {
			sealed = f.seal(state)
		}
		ask := mcpserver.NewInputRequestBuilder(sealed)
		what(ask)
		asked := ask.ToolResult()
		var said []string
		for id, request := range asked.InputRequests {
			text, ok := answerTo(request, id, req.Params.InputResponses)
			if !ok {
				return asked, nil
			}
			said = append(said, text)
		}
		return mcp.NewToolResultText("state-ok: " + strings.Join(said, "; ")), nil
	}
}

// answerTo gives the client's answer to the request with an id.
func answerTo(request mcp.InputRequest, id string, answers mcp.InputResponses) (string, bool) {
	switch request.Method {
	case mcp.MethodElicitationCreate:
		if a := mcpserver.ElicitationResponse(answers, id); a != nil {
			return fmt.Sprint(a.Content), true
		}
	case mcp.MethodSamplingCreateMessage:
		if a := mcpserver.SamplingResponse(answers, id); a != nil {
			return fmt.Sprint(a.Content), true
		}
	case mcp.MethodListRoots:
		if a := mcpserver.RootsResponse(answers, id); a != nil {
			return fmt.Sprint(a.Roots), true
		}
	}
	return "", false
}

func (f *fixtures) askTwice(_ context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	state, ok := "", true
	if given := req.Params.RequestState; given != "" {
		if state, ok = f.open(given); !ok {
			return nil, errState
		}
	}
	answers := req.Params.InputResponses
	if state == "named" && mcpserver.ElicitationResponse(answers, "step2") != nil {
		return mcp.NewToolResultText("Both are answered."), nil
	}
	if state == "named" || state == "asked" && mcpserver.ElicitationResponse(answers, "step1") != nil {
		return mcpserver.NewInputRequestBuilder(f.seal("named")).
			Elicit("step2", askString("Step 2: What is your favorite color?", "color")).ToolResult(), nil
	}
	return mcpserver.NewInputRequestBuilder(f.seal("asked")).
		Elicit("step1", askString("Step 1: What is your name?", "name")).ToolResult(), nil
}

func newStateKey() []byte {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails
	return key
}

// seal makes a state that the client can't change.
func (f *fixtures) seal(state string) string {
	mac := hmac.New(sha256.New, f.key)
	mac.Write([]byte(state))
	return state + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func (f *fixtures) open(sealed string) (state string, ok bool) {
	state, _, _ = strings.Cut(sealed, ".")
	return state, hmac.Equal([]byte(sealed), []byte(f.seal(state)))
}
