package hosts

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// scriptedModel is a loopback server in place of a model's API. The test says which
// tool the model calls next, and gets what the host then sends.
type scriptedModel struct {
	url   string
	api   modelAPI
	calls chan toolCall
	turns chan turn
	last  string // id of the latest call; only the handler of the conversation uses it
}

// toolCall is the answer of the model. An empty one ends the conversation.
type toolCall struct {
	tool      string
	arguments json.RawMessage
}

// turn is a request of the host for the model's next answer.
type turn struct {
	tools  []string // on offer
	result *shown   // of the latest call, none at the start
}

// modelAPI is the API of a vendor.
type modelAPI interface {
	// read gives the turn of a request's body, with the result of the call id.
	read(body []byte, id string) (turn, error)
	// events are the server-sent events of an answer: a call, or "done".
	events(id string, call toolCall) []string
}

// startModel serves until the end of the test.
func startModel(t *testing.T, api modelAPI) *scriptedModel {
	m := &scriptedModel{api: api, calls: make(chan toolCall), turns: make(chan turn)}
	server := httptest.NewServer(m)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	m.url = server.URL
	return m
}

func (m *scriptedModel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<20))
	if err != nil || r.Method != http.MethodPost {
		http.Error(w, "no", http.StatusNotFound)
		return
	}
	now, err := m.api.read(body, m.last)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var call toolCall
	// Hosts also ask for a title and the like, without tools. These requests are
	// answered at once.
	if len(now.tools) > 0 {
		select {
		case m.turns <- now:
		case <-r.Context().Done():
			return
		}
		select {
		case call = <-m.calls:
		case <-r.Context().Done():
			return
		}
		m.last = fmt.Sprintf("call_%d", time.Now().UnixNano())
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for _, event := range m.api.events(m.last, call) {
		io.WriteString(w, event)
	}
}

// next waits for the host's next turn.
func (m *scriptedModel) next(ctx context.Context, t *testing.T) turn {
	t.Helper()
	select {
	case now := <-m.turns:
		return now
	case <-ctx.Done():
		t.Fatal("the host does not ask the model")
		return turn{}
	}
}

// say makes the model call a tool, or end with an empty call.
func (m *scriptedModel) say(ctx context.Context, t *testing.T, call toolCall) {
	t.Helper()
	select {
	case m.calls <- call:
	case <-ctx.Done():
		t.Fatal("the host does not wait for the model")
	}
}

// event is one server-sent event with a type of its own.
func event(name string, data any) string {
	return fmt.Sprintf("event: %s\ndata: %s\n\n", name, mustJSON(data))
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

type object = map[string]any

// anthropicAPI is the API that Claude Code uses.
type anthropicAPI struct{}

func (anthropicAPI) read(body []byte, id string) (turn, error) {
	var request struct {
		Tools    []struct{ Name string }
		Messages []struct{ Content json.RawMessage }
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return turn{}, err
	}
	var now turn
	for _, tool := range request.Tools {
		now.tools = append(now.tools, tool.Name)
	}
	for _, message := range request.Messages {
		var blocks []struct {
			Type      string          `json:"type"`
			ToolUseID string          `json:"tool_use_id"`
			Content   json.RawMessage `json:"content"`
			IsError   bool            `json:"is_error"`
		}
		json.Unmarshal(message.Content, &blocks) // a string has none
		for _, b := range blocks {
			if b.Type == "tool_result" && b.ToolUseID == id {
				now.result = &shown{Text: blockText(b.Content), Error: &b.IsError}
			}
		}
	}
	return now, nil
}

func (anthropicAPI) events(id string, call toolCall) []string {
	block, delta, reason := object{"type": "text", "text": ""}, object{"type": "text_delta", "text": "done"}, "end_turn"
	if call.tool != "" {
		block = object{"type": "tool_use", "id": id, "name": call.tool, "input": object{}}
		delta, reason = object{"type": "input_json_delta", "partial_json": string(call.arguments)}, "tool_use"
	}
	usage := object{"input_tokens": 1, "output_tokens": 1}
	var events []string
	for _, e := range []object{
		{"type": "message_start", "message": object{"id": "msg_" + id, "type": "message", "role": "assistant", "model": "scripted",
			"content": []object{}, "stop_reason": nil, "stop_sequence": nil, "usage": usage}},
		{"type": "content_block_start", "index": 0, "content_block": block},
		{"type": "content_block_delta", "index": 0, "delta": delta},
		{"type": "content_block_stop", "index": 0},
		{"type": "message_delta", "delta": object{"stop_reason": reason, "stop_sequence": nil}, "usage": usage},
		{"type": "message_stop"},
	} {
		events = append(events, event(e["type"].(string), e))
	}
	return events
}

// openAIAPI is the Responses API that Codex uses. It has MCP tools in a namespace, and
// for most models only after a search.
type openAIAPI struct{}

const (
	namespace  = "mcp__kubbi"
	toolSearch = "tool_search"
)

type openAITool struct {
	Type, Name string
	Tools      []openAITool // of a namespace
}

func (openAIAPI) read(body []byte, id string) (turn, error) {
	var request struct {
		Tools []openAITool
		Input []struct {
			Type   string
			CallID string `json:"call_id"`
			Output json.RawMessage
			Tools  []openAITool // that a search has found
		}
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return turn{}, err
	}
	offered := request.Tools
	var now turn
	for _, item := range request.Input {
		if item.Type == "function_call_output" && item.CallID == id {
			now.result = &shown{Text: blockText(item.Output)}
		}
		offered = append(offered, item.Tools...)
	}
	for _, tool := range offered {
		if tool.Type != "namespace" {
			now.tools = append(now.tools, tool.Name)
		}
		for _, t := range tool.Tools {
			now.tools = append(now.tools, tool.Name+"__"+t.Name)
		}
	}
	return now, nil
}

func (openAIAPI) events(id string, call toolCall) []string {
	item := object{"type": "message", "role": "assistant", "id": "m", "content": []object{{"type": "output_text", "text": "done"}}}
	switch call.tool {
	case "":
	case toolSearch:
		item = object{"type": "tool_search_call", "call_id": id, "execution": "client", "arguments": call.arguments}
	default:
		item = object{"type": "function_call", "call_id": id, "namespace": namespace,
			"name": strings.TrimPrefix(call.tool, namespace+"__"), "arguments": string(call.arguments)}
	}
	response := object{"id": "r", "usage": object{"input_tokens": 1, "input_tokens_details": nil, "output_tokens": 1,
		"output_tokens_details": nil, "total_tokens": 2}}
	return []string{
		event("response.created", object{"type": "response.created", "response": object{"id": "r"}}),
		event("response.output_item.done", object{"type": "response.output_item.done", "item": item}),
		event("response.completed", object{"type": "response.completed", "response": response}),
	}
}

// geminiAPI is the API that Gemini CLI uses.
type geminiAPI struct{}

func (geminiAPI) read(body []byte, id string) (turn, error) {
	var request struct {
		Tools    []struct{ FunctionDeclarations []struct{ Name string } }
		Contents []struct {
			Parts []struct {
				InlineData       json.RawMessage // a picture of the result
				FunctionResponse *struct {
					Parts    json.RawMessage // or here
					Response struct {
						Output *string
						Error  *string
					}
				}
			}
		}
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return turn{}, err
	}
	var now turn
	for _, tool := range request.Tools {
		for _, f := range tool.FunctionDeclarations {
			now.tools = append(now.tools, f.Name)
		}
	}
	if n := len(request.Contents); n > 0 {
		var result shown
		for _, part := range request.Contents[n-1].Parts {
			result.Text += string(part.InlineData)
			f := part.FunctionResponse
			if f == nil {
				continue
			}
			failed := f.Response.Error != nil
			result.Error = &failed
			for _, text := range []*string{f.Response.Output, f.Response.Error} {
				if text != nil {
					result.Text += *text
				}
			}
			result.Text += string(f.Parts)
		}
		if result.Error != nil {
			now.result = &result
		}
	}
	return now, nil
}

func (geminiAPI) events(_ string, call toolCall) []string {
	part := object{"text": "done"}
	if call.tool != "" {
		part = object{"functionCall": object{"name": call.tool, "args": call.arguments}}
	}
	return []string{fmt.Sprintf("data: %s\n\n", mustJSON(object{
		"candidates":    []object{{"content": object{"role": "model", "parts": []object{part}}, "finishReason": "STOP", "index": 0}},
		"usageMetadata": object{"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
	}))}
}

// blockText is a text, or the text of a list of blocks. Other blocks are shown as JSON.
func blockText(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var blocks []json.RawMessage
	if json.Unmarshal(raw, &blocks) != nil {
		return string(raw)
	}
	var texts []string
	for _, b := range blocks {
		var block struct{ Text *string }
		if json.Unmarshal(b, &block) == nil && block.Text != nil {
			texts = append(texts, *block.Text)
		} else {
			texts = append(texts, string(b))
		}
	}
	return strings.Join(texts, "\n")
}
