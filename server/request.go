package server

import (
	"context"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"
)

// request is what a transport knows of one request and mcp-go has no place
// for. It travels in the request's context, past mcp-go to our hooks and
// middleware; whoever puts it there has sole use of it until it answers.
type request struct {
	transport string         // "stdio", "http" or "sse"
	size      int            // of the message, in bytes
	arguments jsontext.Value // of a tool call, taken out of its message; nil: they are in it
}

type requestKey struct{}

func withRequest(ctx context.Context, r *request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// requestOf gives the request that a context belongs to, an empty one if it
// belongs to none.
func requestOf(ctx context.Context) *request {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return r
	}
	return &request{}
}

// putArgumentsBack gives a tool call the arguments that its transport has taken
// out of its message.
func putArgumentsBack(ctx context.Context, _ any, req *mcp.CallToolRequest) {
	if args := requestOf(ctx).arguments; args != nil {
		setArguments(req, args)
	}
}
