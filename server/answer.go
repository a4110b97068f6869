package server

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/tools"
)

// callTool calls a tool, as mcp-go would if it had the message. For requests of
// the versions with a handshake it adds nothing that our tools use, but decodes
// the message half a dozen times on the way.
func (s *Server) callTool(ctx context.Context, m *message, args jsontext.Value) mcp.JSONRPCMessage {
	name := unquote(m.object.tool)
	tool := s.mcp.GetTool(name)
	if tool == nil {
		s.observe(ctx, unknownTool)
		return mcp.NewJSONRPCError(mcp.NewRequestId(nil), mcp.INVALID_PARAMS, fmt.Sprintf("There is no tool %q", name), nil)
	}
	var req mcp.CallToolRequest
	req.Method = string(mcp.MethodToolsCall)
	req.Params.Name = name
	setArguments(&req, args)
	if token := m.metaMember("progressToken"); token.Kind() == '"' || token.Kind() == '0' {
		req.Params.Meta = &mcp.Meta{ProgressToken: json.RawMessage(token)}
	}
	res, err := s.recovery(s.withProgress(tool.Handler))(ctx, req)
	if err != nil {
		return mcp.NewJSONRPCError(mcp.NewRequestId(nil), mcp.INTERNAL_ERROR, errInternal.Error(), nil)
	}
	return mcp.NewJSONRPCResultResponse(mcp.NewRequestId(nil), res)
}

func setArguments(req *mcp.CallToolRequest, args jsontext.Value) {
	req.Params.Arguments = json.RawMessage(args)
	req.Params.RawArguments = json.RawMessage(args)
}

// encodeAnswer writes the answer to a request, with the request's id as it came.
func encodeAnswer(m *message, resp mcp.JSONRPCMessage) []byte {
	switch r := resp.(type) {
	case mcp.JSONRPCResponse:
		if res, ok := r.Result.(*mcp.CallToolResult); ok {
			size := tools.ResultSize(res) + len(m.id)
			if size >= large {
				runtime.GC() // of what brought the payload here
			}
			b := make([]byte, 0, size)
			b, err := tools.AppendResult(appendHead(b, m.id, "result"), res)
			if err == nil {
				return append(b, "}\n"...)
			}
		} else if b, err := json.Marshal(r.Result); err == nil {
			return append(append(appendHead(nil, m.id, "result"), b...), "}\n"...)
		}
	case mcp.JSONRPCError:
		e := &rpcError{Code: r.Error.Code, Message: r.Error.Message, Data: r.Error.Data, id: m.id}
		if e.Code == mcp.INVALID_REQUEST {
			// The message is a valid request: parse has seen to that. What mcp-go
			// could not read is its params.
			e.Code, e.Message = mcp.INVALID_PARAMS, "Invalid params for "+m.name
		}
		return encodeError(e)
	}
	return encodeError(&rpcError{Code: mcp.INTERNAL_ERROR, Message: errInternal.Error(), id: m.id})
}

// encodeError writes an error answer.
func encodeError(e *rpcError) []byte {
	b, err := json.Marshal(e)
	if err != nil { // the data, which is mcp-go's
		b = fmt.Appendf(nil, `{"code":%d,"message":"internal error"}`, mcp.INTERNAL_ERROR)
	}
	return append(append(appendHead(nil, e.id, "error"), b...), "}\n"...)
}

// encodeNotification writes a notification, nothing if it can't be written.
func encodeNotification(n mcp.JSONRPCNotification) []byte {
	b, err := json.Marshal(n)
	if err != nil {
		return nil
	}
	return append(b, '\n')
}

func appendHead(dst []byte, id jsontext.Value, member string) []byte {
	if id == nil {
		id = jsontext.Value("null")
	}
	dst = append(dst, `{"jsonrpc":"2.0","id":`...)
	dst = append(dst, id...)
	dst = append(dst, `,"`...)
	dst = append(dst, member...)
	return append(dst, `":`...)
}
