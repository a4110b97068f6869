package server

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/tools"
)

// request is what a transport knows of one request and mcp-go has no place
// for. It travels in the request's context, past mcp-go to our hooks and
// middleware; whoever puts it there has sole use of it until it answers.
type request struct {
	transport string         // "stdio", "http" or "sse"
	size      int            // of the message, in bytes
	trace     kubbi.Trace    // that it belongs to
	arguments jsontext.Value // of a tool call, taken out of its message; nil: they are in it

	// What our hooks have found, for mcp-go and for the answer.
	page     *kubbiPage // of resources/list
	kubbi    *kubbi.Kubbi
	kubbiErr error     // why there is no kubbi
	fault    *rpcError // the answer, where mcp-go has no such code

	peer    tools.Peer                    // who has sent it, and when it came in
	session string                        // the id that a session which mcp-go opens for it shall have
	opened  func(mcpserver.ClientSession) // is told of that session
	outbox  *outbox                       // takes news of the resources that the client subscribes to; nil: they go nowhere
	life    context.Context               // without which there is nobody to answer, beside its own context; nil: none

	out      *reply      // over streamable HTTP, takes the answer, and what comes before it; nil: none
	notified atomic.Bool // the client was sent something before its answer

	mu      sync.Mutex
	waiting []func(written bool) // what is to be done when it has settled
	settled bool                 // it is known whether the answer was written to the client
	written bool
}

// settle notes whether the answer was written to the client. The first word
// counts.
func (r *request) settle(written bool) {
	r.mu.Lock()
	waiting := r.waiting
	if !r.settled {
		r.settled, r.written, r.waiting = true, written, nil
	}
	r.mu.Unlock()
	for _, then := range waiting {
		then(written)
	}
}

// settleBy settles a request by what has become of the answer on its way, which
// is worth a look only if somebody wants to know.
func (r *request) settleBy(ctx context.Context, out *reply) {
	r.mu.Lock()
	wanted := len(r.waiting) > 0
	r.mu.Unlock()
	r.settle(!wanted || out.delivered(ctx))
}

// onWritten notes what to do when it is known whether the answer to the request
// in ctx was written to the client.
func onWritten(ctx context.Context, then func(written bool)) {
	r := requestOf(ctx)
	r.mu.Lock()
	if !r.settled {
		r.waiting = append(r.waiting, then)
		then = func(bool) {}
	}
	written := r.written
	r.mu.Unlock()
	then(written)
}

// peerOf says who has sent the request in ctx.
func peerOf(ctx context.Context) tools.Peer { return requestOf(ctx).peer }

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
	return &request{settled: true, written: true} // nobody will tell
}

// putArgumentsBack gives a tool call the arguments that its transport has taken
// out of its message.
func putArgumentsBack(ctx context.Context, _ any, req *mcp.CallToolRequest) {
	if args := requestOf(ctx).arguments; args != nil {
		setArguments(req, args)
	}
}

// sessionOpened tells the request whose stream has become a session at mcp-go.
func sessionOpened(ctx context.Context, session mcpserver.ClientSession) {
	if opened := requestOf(ctx).opened; opened != nil {
		opened(session)
	}
}

// cancelLost cancels a request to whom nobody listens any more, and which began
// too late for cancelOwed.
func (s *Server) cancelLost(ctx context.Context, id any, _ mcp.MCPMethod, _ any) {
	if life := requestOf(ctx).life; life != nil && life.Err() != nil {
		s.cancelRequest(ctx, id)
	}
}

// cancelRequest cancels a request of the session in ctx, in the one way that
// mcp-go has.
func (s *Server) cancelRequest(ctx context.Context, id any) {
	b, err := json.Marshal(map[string]any{
		"jsonrpc": mcp.JSONRPC_VERSION,
		"method":  mcp.MethodNotificationCancelled,
		"params":  map[string]any{"requestId": id},
	})
	if err == nil {
		s.mcp.HandleMessage(ctx, b)
	}
}
