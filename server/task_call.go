package server

import (
	"context"
	"encoding/json"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"kubbi-mcp/server/transport"
)

// asTask makes a task of a tool call that takes long, if the client knows tasks. A
// call that ends sooner is answered, and cancelled, like any other.
func (s *Server) asTask(next mcpserver.ToolHandlerFunc) mcpserver.ToolHandlerFunc {
	return func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		info := mcpserver.RequestProtocolInfoFromContext(ctx)
		if info == nil || !info.Modern || !declaresTasks(info.ClientCapabilities) {
			return next(ctx, req)
		}
		_, size := originOf(ctx)
		// The call may outlive its request.
		d := &transport.Delivery{}
		callCtx, cancel := context.WithCancel(context.WithValue(context.WithoutCancel(ctx), deliveryKey{}, d))
		unlink := context.AfterFunc(ctx, cancel)
		ended := make(chan toolOutcome, 1)
		go func() {
			res, err := next(callCtx, req)
			ended <- toolOutcome{res, err}
		}()
		timer := time.NewTimer(s.cfg.TaskAfter)
		defer timer.Stop()
		var o toolOutcome
		select {
		case o = <-ended:
		case <-timer.C:
			if unlink() { // else the request was cancelled
				if t := s.tasks.begin(d, cancel, size); t != nil {
					go s.runTask(callCtx, t, next, req, ended)
					return created(s.tasks.state(t)), nil
				}
				unlink = context.AfterFunc(ctx, cancel)
			}
			o = <-ended
		}
		unlink()
		cancel()
		onWritten(ctx, d.Settle)
		return o.result, o.err
	}
}

// resultTypeTask marks the answer to a call that has become a task.
const resultTypeTask mcp.ResultType = "task"

// created carries a new task through mcp-go. See taskOf.
func created(t *taskState) *mcp.CallToolResult {
	t.ResultType, t.InputRequests, t.Result, t.Error = resultTypeTask, nil, nil, nil
	return &mcp.CallToolResult{Result: mcp.Result{ResultType: resultTypeTask}, StructuredContent: t}
}

// taskOf gives the task that a tool's result stands for, nil if it is a result.
func taskOf(res *mcp.CallToolResult) *taskState {
	t, ok := res.StructuredContent.(*taskState)
	if !ok || res.ResultType != resultTypeTask {
		return nil
	}
	t.Meta = res.Meta // mcp-go names the server there
	return t
}

// toolOutcome is what a tool's handler returns.
type toolOutcome struct {
	result *mcp.CallToolResult
	err    error
}

// runTask waits for the call of a task. While the tool asks the client for something,
// it is called again with the answers.
func (s *Server) runTask(ctx context.Context, t *task, next mcpserver.ToolHandlerFunc, req mcp.CallToolRequest, ended <-chan toolOutcome) {
	o := <-ended
	for o.err == nil && o.result.NeedsInput() {
		answers, ok := s.tasks.ask(ctx, t, o.result.InputRequests)
		if !ok {
			o.err = ctx.Err()
			break
		}
		req.Params.MultiRoundTripParams = mcp.MultiRoundTripParams{InputResponses: answers, RequestState: o.result.RequestState}
		o.result, o.err = next(ctx, req)
	}
	result, err := o.encode()
	if err != nil {
		s.tasks.finish(t, nil, false, &transport.Error{Code: mcp.INTERNAL_ERROR, Message: err.Error()})
		return
	}
	s.tasks.finish(t, result, o.result.IsError, nil)
}

func (o toolOutcome) encode() (json.RawMessage, error) {
	switch {
	case o.err != nil:
		return nil, o.err
	case o.result == nil:
		return nil, transport.ErrInternal
	}
	o.result.SetResultType(mcp.ResultTypeComplete)
	b, err := toolResult{o.result}.AppendTo(nil)
	if err != nil {
		return nil, transport.ErrInternal
	}
	return b, nil
}

type deliveryKey struct{}

// deliveryOf gives the delivery of the call in ctx, nil if the Call itself has it.
func deliveryOf(ctx context.Context) *transport.Delivery {
	d, _ := ctx.Value(deliveryKey{}).(*transport.Delivery)
	return d
}

// declaresTasks reports whether a client says in its request that it knows tasks.
func declaresTasks(c *mcp.ClientCapabilities) bool {
	return c != nil && c.Extensions[tasksExtension] != nil
}
