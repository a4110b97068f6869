package server

import (
	"context"
	"encoding/json"

	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/server/transport"
	"kubbi-mcp/tools"
)

// handler is the transport.Handler of a Server.
type handler struct{ *Server }

// Handle implements transport.Handler.
func (h handler) Handle(ctx context.Context, c *transport.Call) mcp.JSONRPCMessage {
	ctx = kubbi.WithTrace(ctx, traceOf(c.Header, c.Meta))
	switch {
	case c.Method == string(mcp.MethodToolsCall) && c.Bare && !c.Modern && h.ours[c.Tool] != nil:
		return h.callTool(ctx, c)
	case c.Method == string(mcp.MethodResourcesList):
		return h.listResources(ctx, c)
	case answersTasks(c):
		result, err := h.answerTask(c)
		h.logRequest(ctx, mcp.MCPMethod(c.Method), err == nil)
		if err != nil {
			c.Fail(err)
		}
		return mcp.NewJSONRPCResultResponse(mcp.NewRequestId(nil), result)
	case c.Listens() && listensToTasks(c) && !callDeclaresTasks(c):
		c.Fail(errNeedsTasks)
		return nil
	}
	answer := c.Dispatch(ctx)
	if resp, ok := answer.(mcp.JSONRPCResponse); ok {
		if res, ok := resp.Result.(*mcp.CallToolResult); ok {
			if t := taskOf(res); t != nil {
				resp.Result = t
			} else {
				resp.Result = toolResult{res}
			}
		}
		return resp
	}
	return answer
}

// callTool calls one of our tools without mcp-go, which would decode the message half a dozen
// times. For a version with a handshake, mcp-go adds nothing that our tools use.
func (s *Server) callTool(ctx context.Context, c *transport.Call) mcp.JSONRPCMessage {
	var req mcp.CallToolRequest
	req.Method = string(mcp.MethodToolsCall)
	req.Params.Name = c.Tool
	setArguments(&req, c.Arguments)
	if token := c.MetaMember("progressToken"); token.Kind() == '"' || token.Kind() == '0' {
		req.Params.Meta = &mcp.Meta{ProgressToken: json.RawMessage(token)}
	}
	res, err := s.recovery(s.withProgress(s.ours[c.Tool].Handler))(ctx, req)
	if err != nil {
		return mcp.NewJSONRPCError(mcp.NewRequestId(nil), mcp.INTERNAL_ERROR, transport.ErrInternal.Error(), nil)
	}
	return mcp.NewJSONRPCResultResponse(mcp.NewRequestId(nil), toolResult{res})
}

// toolResult is a tool's result. Package tools encodes it faster than encoding/json.
type toolResult struct{ *mcp.CallToolResult }

// Size implements transport.Result.
func (r toolResult) Size() int { return tools.ResultSize(r.CallToolResult) }

// AppendTo implements transport.Result.
func (r toolResult) AppendTo(dst []byte) ([]byte, error) {
	return tools.AppendResult(dst, r.CallToolResult)
}

// Subscribe implements transport.Handler. It subscribes to a kubbi of the caller, or to a
// resource that Config.Add has added. The code that added a resource notifies of its
// changes.
func (h handler) Subscribe(ctx context.Context, c *transport.Call, uri string) error {
	sub := subscriberOf(c)
	if sub == nil {
		return errNoResource
	}
	if _, added := h.mcp.ListResources()[uri]; added {
		return h.watcher.addOther(sub, uri)
	}
	err := h.watcher.subscribe(kubbi.WithTrace(ctx, traceOf(c.Header, c.Meta)), sub, uri)
	if err != nil && err != errNoResource && err != errTooManySubscriptions {
		// mcp-go would answer that there is no such resource.
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

// subscriberOf gives the subscriber of a call: the session, or for a
// subscriptions/listen request the call itself. It is nil if there is no session.
func subscriberOf(c *transport.Call) *subscriber {
	if !c.Listens() {
		if s, ok := c.State.(*session); ok {
			return &s.updates
		}
		return nil
	}
	sub, ok := c.Subscriber.(*subscriber)
	if !ok {
		sub = &subscriber{send: c.ResourceUpdated}
		c.Subscriber = sub
	}
	return sub
}

// onWritten calls a function when it is known whether the result of the call in ctx was
// written to the client. The result of a task is written with the answer to a later
// request.
func onWritten(ctx context.Context, then func(written bool)) {
	if d := deliveryOf(ctx); d != nil {
		d.OnWritten(then)
	} else if c := transport.CallOf(ctx); c != nil {
		c.OnWritten(then)
	} else {
		then(true) // nobody else will call it
	}
}

// waits says to the transport that the call in ctx waits for somebody else.
func waits(ctx context.Context) error {
	if c := transport.CallOf(ctx); c != nil {
		return c.Wait()
	}
	return nil
}

// peerOf says who has sent the request in ctx.
func peerOf(ctx context.Context) tools.Peer {
	if c := transport.CallOf(ctx); c != nil {
		return tools.Peer{Session: c.Session.SessionID(), Sent: c.Came}
	}
	return tools.Peer{}
}

// setArguments gives a tool call its arguments.
func setArguments(req *mcp.CallToolRequest, args []byte) {
	req.Params.Arguments = json.RawMessage(args)
	req.Params.RawArguments = json.RawMessage(args)
}

// putArgumentsBack gives a tool call its arguments. Call.Dispatch leaves them out of the
// message for mcp-go.
func putArgumentsBack(ctx context.Context, _ any, req *mcp.CallToolRequest) {
	if c := transport.CallOf(ctx); c != nil {
		setArguments(req, c.Arguments)
	}
}
