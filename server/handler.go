package server

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/server/transport"
	"kubbi-mcp/tools"
)

// handler is a Server as its transports see it.
type handler struct{ *Server }

// Handle implements transport.Handler.
func (h handler) Handle(ctx context.Context, c *transport.Call) mcp.JSONRPCMessage {
	r := newRequest(c)
	ctx = withRequest(ctx, r)
	switch {
	case c.Method == string(mcp.MethodToolsCall) && c.Bare && !c.Modern && !h.added[c.Tool]:
		return h.callTool(ctx, c)
	case c.Method == string(mcp.MethodResourcesList):
		if fault := h.fetchList(ctx, r, c.Param("cursor")); fault != nil {
			c.Fail(fault)
			h.served(ctx, mcp.MethodResourcesList, false)
			return nil
		}
	}
	answer := c.Dispatch(ctx)
	if resp, ok := answer.(mcp.JSONRPCResponse); ok {
		if res, ok := resp.Result.(*mcp.CallToolResult); ok {
			resp.Result = toolResult{res}
			return resp
		}
	}
	return answer
}

// callTool calls a tool, as mcp-go would if it had the message. For requests of
// the versions with a handshake it adds nothing that our tools use, but decodes
// the message half a dozen times on the way.
func (s *Server) callTool(ctx context.Context, c *transport.Call) mcp.JSONRPCMessage {
	tool := s.mcp.GetTool(c.Tool)
	if tool == nil {
		s.observe(ctx, unknownTool)
		return mcp.NewJSONRPCError(mcp.NewRequestId(nil), mcp.INVALID_PARAMS, fmt.Sprintf("There is no tool %q", c.Tool), nil)
	}
	var req mcp.CallToolRequest
	req.Method = string(mcp.MethodToolsCall)
	req.Params.Name = c.Tool
	setArguments(&req, c.Arguments)
	if token := c.MetaMember("progressToken"); token.Kind() == '"' || token.Kind() == '0' {
		req.Params.Meta = &mcp.Meta{ProgressToken: json.RawMessage(token)}
	}
	res, err := s.recovery(s.withProgress(tool.Handler))(ctx, req)
	if err != nil {
		return mcp.NewJSONRPCError(mcp.NewRequestId(nil), mcp.INTERNAL_ERROR, transport.ErrInternal.Error(), nil)
	}
	return mcp.NewJSONRPCResultResponse(mcp.NewRequestId(nil), toolResult{res})
}

// toolResult is a tool's result, which tools writes faster than encoding/json.
type toolResult struct{ *mcp.CallToolResult }

// Size implements transport.Result.
func (r toolResult) Size() int { return tools.ResultSize(r.CallToolResult) }

// AppendTo implements transport.Result.
func (r toolResult) AppendTo(dst []byte) ([]byte, error) {
	return tools.AppendResult(dst, r.CallToolResult)
}

// Subscribe implements transport.Handler: to a kubbi of the caller's, or to a
// resource that others have registered, whose changes they know themselves.
func (h handler) Subscribe(ctx context.Context, c *transport.Call, uri string) error {
	sub := subscriberOf(c)
	if sub == nil {
		return errNoResource
	}
	if _, others := h.mcp.ListResources()[uri]; others {
		return h.watcher.accept(sub, uri)
	}
	err := h.watcher.subscribe(kubbi.WithTrace(ctx, traceOf(c.Header, c.Meta)), sub, uri)
	if err != nil && err != errNoResource && err != errTooManySubscriptions {
		// For mcp-go every reason is that there is no such resource.
		c.Fail(&transport.Error{Code: mcp.INTERNAL_ERROR, Message: err.Error()})
	}
	return err
}

// Unsubscribe implements transport.Handler.
func (h handler) Unsubscribe(c *transport.Call, uri string) {
	if sub := subscriberOf(c); sub != nil {
		h.watcher.unsubscribe(sub, uri)
	}
}

// Subscriptions implements transport.Handler.
func (h handler) Subscriptions(c *transport.Call) []string {
	if sub := subscriberOf(c); sub != nil {
		return h.watcher.subscribed(sub)
	}
	return nil
}

// Acknowledged implements transport.Handler.
func (h handler) Acknowledged(c *transport.Call) {
	if sub := subscriberOf(c); sub != nil {
		h.watcher.hold(sub, false)
	}
}

// subscriberOf gives the subscriber that a call's subscriptions belong to: one of
// its own, which is held until it is acknowledged, or that of the session. It is
// nil where there is no session.
func subscriberOf(c *transport.Call) *subscriber {
	if !c.Listens() {
		if s, ok := c.State.(*session); ok {
			return &s.updates
		}
		return nil
	}
	sub, ok := c.Subscriber.(*subscriber)
	if !ok {
		sub = &subscriber{send: c.ResourceUpdated, held: true}
		c.Subscriber = sub
	}
	return sub
}

// setArguments gives a tool call its arguments.
func setArguments(req *mcp.CallToolRequest, args []byte) {
	req.Params.Arguments = json.RawMessage(args)
	req.Params.RawArguments = json.RawMessage(args)
}

// putArgumentsBack gives a tool call the arguments that its message has lost on
// the way to mcp-go.
func putArgumentsBack(ctx context.Context, _ any, req *mcp.CallToolRequest) {
	if c := transport.CallOf(ctx); c != nil {
		setArguments(req, c.Arguments)
	}
}

var _ mcpserver.SessionWithClientInfo = (*transport.Call)(nil)
