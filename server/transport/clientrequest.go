package transport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/mark3labs/mcp-go/mcp"
)

// MaxClientRequests is how many requests to the client of a session may wait for
// their answers.
const MaxClientRequests = 64

// ClientAnswer is what a client has answered to a request of ours.
type ClientAnswer struct {
	Result json.RawMessage
	Err    error
}

// clientRequests are the requests to a client that wait for their answers.
type clientRequests struct {
	mu      sync.Mutex
	last    int64
	waiting map[string]clientRequest // by id
}

type clientRequest struct {
	method  mcp.MCPMethod
	answers chan<- ClientAnswer // has room
}

// Request asks the client of a session for something. The answer may come late
// or never, and nobody needs to wait for it. params may be nil.
func (s *Session) Request(method mcp.MCPMethod, params any) <-chan ClientAnswer {
	answers, _ := s.request(s.out, method, params)
	return answers
}

// request is Request on any outbox. forget ends the wait.
func (s *Session) request(out *outbox, method mcp.MCPMethod, params any) (answers <-chan ClientAnswer, forget func()) {
	answer := make(chan ClientAnswer, 1)
	id, err := s.requests.add(clientRequest{method, answer})
	forget = func() { s.requests.remove(id) }
	var text []byte
	if err == nil {
		fields := map[string]any{"jsonrpc": mcp.JSONRPC_VERSION, "id": id, "method": method}
		if params != nil {
			fields["params"] = params
		}
		text, err = json.Marshal(fields)
	}
	if err == nil && !out.put(outMessage{text: append(text, '\n')}) {
		err = errors.New("the client has gone")
	}
	if err != nil {
		forget()
		answer <- ClientAnswer{Err: fmt.Errorf("%s: %w", method, err)}
	}
	return answer, forget
}

func (r *clientRequests) add(q clientRequest) (id string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) >= MaxClientRequests {
		return "", errors.New("too many requests to the client have no answer yet")
	}
	if r.waiting == nil {
		r.waiting = make(map[string]clientRequest)
	}
	r.last++
	id = "kubbi-" + strconv.FormatInt(r.last, 10)
	r.waiting[id] = q
	return id, nil
}

func (r *clientRequests) remove(id string) (q clientRequest, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	q, ok = r.waiting[id]
	delete(r.waiting, id)
	return q, ok
}

// answered takes a client's answer. It reports whether a request waits for it.
func (r *clientRequests) answered(m *message) bool {
	if m.id.Kind() != '"' {
		return false
	}
	q, ok := r.remove(unquote(m.id))
	if ok {
		q.answers <- readClientAnswer(q.method, m.line)
	}
	return ok
}

func readClientAnswer(method mcp.MCPMethod, b []byte) ClientAnswer {
	var res struct {
		Result json.RawMessage
		Error  *mcp.JSONRPCErrorDetails
	}
	if err := json.Unmarshal(b, &res); err != nil {
		return ClientAnswer{Err: fmt.Errorf("%s: the answer can't be read", method)}
	}
	if res.Error != nil {
		return ClientAnswer{Err: fmt.Errorf("%s: the client answers with error %d", method, res.Error.Code)}
	}
	return ClientAnswer{Result: res.Result}
}

// ask asks the client on the stream of the call, and waits for the answer.
func ask[T any](ctx context.Context, c *Call, method mcp.MCPMethod, params any) (*T, error) {
	c.flushNotifications(false)
	_ = c.Wait() // else a message with an answer might wait until there is room for another call
	answers, forget := c.request(c.out, method, params)
	defer forget()
	select {
	case a := <-answers:
		if a.Err != nil {
			return nil, a.Err
		}
		res := new(T)
		if err := json.Unmarshal(a.Result, res); err != nil {
			return nil, fmt.Errorf("%s: read the answer: %w", method, err)
		}
		return res, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// RequestSampling asks for a completion by the client's model.
func (c *Call) RequestSampling(ctx context.Context, req mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
	res, err := ask[mcp.CreateMessageResult](ctx, c, mcp.MethodSamplingCreateMessage, req.CreateMessageParams)
	if err != nil {
		return nil, err
	}
	if res.Content, err = mcp.ParseSamplingContent(res.Content); err != nil {
		return nil, fmt.Errorf("%s: read the answer: %w", mcp.MethodSamplingCreateMessage, err)
	}
	return res, nil
}

// RequestElicitation asks the client's user.
func (c *Call) RequestElicitation(ctx context.Context, req mcp.ElicitationRequest) (*mcp.ElicitationResult, error) {
	return ask[mcp.ElicitationResult](ctx, c, mcp.MethodElicitationCreate, req.Params)
}

// ListRoots asks for the client's roots.
func (c *Call) ListRoots(ctx context.Context, _ mcp.ListRootsRequest) (*mcp.ListRootsResult, error) {
	return ask[mcp.ListRootsResult](ctx, c, mcp.MethodListRoots, struct{}{})
}
