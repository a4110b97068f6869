package transport

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/internal/memory"
)

// Error is a JSON-RPC error, as the answer to a request.
type Error struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data,omitempty"`

	id jsontext.Value // nil: null
}

// Error gives the message.
func (e *Error) Error() string { return e.Message }

// ErrInternal is all that a client learns of a panic.
var ErrInternal = errors.New("internal error")

// Result is a result with an encoder of its own. encoding/json encodes other results.
type Result interface {
	Size() int // about, in bytes
	AppendTo(dst []byte) ([]byte, error)
}

func internalError() Error {
	return Error{Code: mcp.INTERNAL_ERROR, Message: ErrInternal.Error()}
}

// encodeAnswer writes the answer to the call, under its id as it came.
func (c *Call) encodeAnswer(resp mcp.JSONRPCMessage) []byte {
	switch r := resp.(type) {
	case mcp.JSONRPCResponse:
		if text, err := c.encodeResult(r.Result); err == nil {
			return append(text, "}\n"...)
		}
	case mcp.JSONRPCError:
		e := Error{Code: r.Error.Code, Message: r.Error.Message, Data: r.Error.Data}
		if e.Code == mcp.INVALID_REQUEST {
			// parse has accepted the request, so mcp-go could not read its params.
			e.Code, e.Message = mcp.INVALID_PARAMS, "Invalid params for "+c.Method
		}
		return c.encodeFault(e)
	}
	return c.encodeFault(internalError())
}

// encodeFault writes an error as the answer to the call.
func (c *Call) encodeFault(e Error) []byte {
	e.id, c.code = c.ID, e.Code
	return encodeError(&e)
}

func (c *Call) encodeResult(result any) ([]byte, error) {
	switch r := result.(type) {
	case Result:
		size := r.Size() + len(c.ID)
		if size >= memory.LargeMessage {
			memory.Collect() // earlier copies of the payload
		}
		return r.AppendTo(appendHead(make([]byte, 0, size), c.ID, "result"))
	case mcp.SubscriptionsListenResult:
		if meta := r.EnsureResultMeta(); meta != nil { // it has the id that mcp-go got
			meta.SetSubscriptionID(json.RawMessage(c.ID))
		}
	}
	b, err := json.Marshal(result)
	return append(appendHead(nil, c.ID, "result"), b...), err
}

// encodeError writes an error answer.
func encodeError(e *Error) []byte {
	b, err := json.Marshal(e)
	if err != nil { // only mcp-go's data can fail
		b = fmt.Appendf(nil, `{"code":%d,"message":"internal error"}`, mcp.INTERNAL_ERROR)
	}
	return append(append(appendHead(nil, e.id, "error"), b...), "}\n"...)
}

// encodeNotification encodes a notification. It returns nil if that fails.
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
