package server

import (
	"context"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/server/transport"
	"kubbi-mcp/tools"
)

// request is what our hooks and middleware know of a request, beside its Call. It
// travels in the request's context, past mcp-go.
type request struct {
	transport string
	size      int // of the message, in bytes
	trace     kubbi.Trace

	// What our hooks have found, for mcp-go.
	page     *kubbiPage // of resources/list
	kubbi    *kubbi.Kubbi
	kubbiErr error // why there is no kubbi
}

func newRequest(c *transport.Call) *request {
	return &request{transport: c.Transport(), size: c.Size, trace: traceOf(c.Header, c.Meta)}
}

type requestKey struct{}

func withRequest(ctx context.Context, r *request) context.Context {
	return context.WithValue(kubbi.WithTrace(ctx, r.trace), requestKey{}, r)
}

// requestOf gives the request that a context belongs to, an empty one if it
// belongs to none.
func requestOf(ctx context.Context) *request {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return r
	}
	return &request{}
}

// onWritten notes what to do when it is known whether the answer to the request
// in ctx was written to the client.
func onWritten(ctx context.Context, then func(written bool)) {
	if c := transport.CallOf(ctx); c != nil {
		c.OnWritten(then)
		return
	}
	then(true) // nobody will say
}

// peerOf says who has sent the request in ctx.
func peerOf(ctx context.Context) tools.Peer {
	if c := transport.CallOf(ctx); c != nil {
		return tools.Peer{Session: c.Session.SessionID(), Sent: c.Came}
	}
	return tools.Peer{}
}
