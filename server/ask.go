package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
)

// lacking answers as the protocol wants when a tool needs what the client has not
// said that it can do: for mcp-go that is an internal error, as any of a tool's.
func (s *Server) lacking(next mcpserver.ToolHandlerFunc) mcpserver.ToolHandlerFunc {
	return func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		res, err := next(ctx, req)
		var missing mcp.MissingRequiredClientCapabilityError
		if errors.As(err, &missing) && mcpserver.IsModernRequest(ctx) {
			requestOf(ctx).fault = &rpcError{
				Code:    mcp.MISSING_REQUIRED_CLIENT_CAPABILITY,
				Message: missing.Error(),
				Data:    map[string]any{"requiredCapabilities": map[string]any{missing.Capability: struct{}{}}},
			}
		}
		return res, err
	}
}

// asks are requests of a tool's to its client, over streamable HTTP. Those for
// sampling and roots mcp-go writes to the session's own stream, which a client
// need not have (https://github.com/mark3labs/mcp-go/pull/732); they belong on
// the stream of the call. None of our tools asks.
type asks struct {
	mu      sync.Mutex
	waiting map[string]chan jsontext.Value // for an answer, by the request's id, which can't be guessed
}

// ask sends a request on the stream that answers a call, and gives the result.
func (s *Server) ask(ctx context.Context, call *request, method mcp.MCPMethod, params any) (json.RawMessage, error) {
	id := uuid.NewString()
	b, err := json.Marshal(map[string]any{"jsonrpc": mcp.JSONRPC_VERSION, "id": id, "method": method, "params": params})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", method, err)
	}
	answer := make(chan jsontext.Value, 1)
	a := &s.asks
	a.mu.Lock()
	if a.waiting == nil {
		a.waiting = make(map[string]chan jsontext.Value)
	}
	a.waiting[id] = answer
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.waiting, id)
	}()
	s.marks.follow(ctx, call.life) // for mcp-go, the answer is a stream from here on
	if _, err := fmt.Fprintf(call.out, "event: message\ndata: %s\n\n", b); err != nil {
		return nil, fmt.Errorf("%s: %w", method, err)
	}
	call.out.Flush()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case v := <-answer:
		var res struct {
			Result json.RawMessage
			Error  *mcp.JSONRPCErrorDetails
		}
		if err := json.Unmarshal(v, &res); err != nil {
			return nil, fmt.Errorf("%s: read the answer: %w", method, err)
		}
		if res.Error != nil {
			return nil, fmt.Errorf("%s: the client answers with error %d", method, res.Error.Code)
		}
		return res.Result, nil
	}
}

// answer takes a client's answer. It reports whether it is one to a request of
// ours.
func (a *asks) answer(m *message) bool {
	if m.method != nil || m.id.Kind() != '"' {
		return false
	}
	id := unquote(m.id)
	a.mu.Lock()
	defer a.mu.Unlock()
	waiting := a.waiting[id]
	if waiting == nil {
		return false
	}
	delete(a.waiting, id)
	waiting <- m.line
	return true
}

// RequestSampling asks for a completion by the client's model.
func (s notingStreamable) RequestSampling(ctx context.Context, req mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
	v, err := s.server.ask(ctx, s.request, mcp.MethodSamplingCreateMessage, req.CreateMessageParams)
	if err != nil {
		return nil, err
	}
	var res mcp.CreateMessageResult
	if err := json.Unmarshal(v, &res); err != nil {
		return nil, fmt.Errorf("read a completion: %w", err)
	}
	if res.Content, err = mcp.ParseSamplingContent(res.Content); err != nil {
		return nil, fmt.Errorf("read a completion: %w", err)
	}
	return &res, nil
}

// ListRoots asks for the client's roots.
func (s notingStreamable) ListRoots(ctx context.Context, _ mcp.ListRootsRequest) (*mcp.ListRootsResult, error) {
	v, err := s.server.ask(ctx, s.request, mcp.MethodListRoots, struct{}{})
	if err != nil {
		return nil, err
	}
	var res mcp.ListRootsResult
	if err := json.Unmarshal(v, &res); err != nil {
		return nil, fmt.Errorf("read roots: %w", err)
	}
	return &res, nil
}
