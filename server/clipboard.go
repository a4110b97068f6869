package server

import (
	"context"
	"sync"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"kubbi-mcp/internal/clipboard"
	"kubbi-mcp/server/transport"
)

// clipboardConsent is whether the user of a session lets claim URLs be put on the clipboard.
// The user is asked once.
type clipboardConsent struct {
	mu      sync.Mutex
	asked   bool
	decided bool
	allowed bool
}

func (c *clipboardConsent) decide(allowed bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.decided, c.allowed = true, allowed
	return allowed
}

const clipboardID = "clipboard"

// mayCopy reports whether the claim URL of a handle may be put on the user's clipboard. It asks
// the user at the first such call of a session over stdio, if there is a clipboard and the
// client can ask. If the client is asked by the answer to the call, ask is that answer.
func (s *Server) mayCopy(ctx context.Context, req mcp.CallToolRequest) (allowed bool, ask *mcp.CallToolResult, err error) {
	session, call := sessionOf(ctx), transport.CallOf(ctx)
	if session == nil || call == nil || session.Transport() != transport.Stdio || !clipboard.Available() {
		return false, nil, nil
	}
	can, c := abilitiesOf(ctx, session.Session), &session.clipboard
	c.mu.Lock()
	asked, decided, allowed := c.asked, c.decided, c.allowed
	c.asked = c.asked || can.forms
	c.mu.Unlock()
	switch {
	case decided || !can.forms:
		return allowed, nil, nil
	case can.modern && asked: // an answer without a question does not count
		if _, answered := req.Params.InputResponses[clipboardID]; !answered {
			return false, nil, nil
		}
		return c.decide(decisionOf(mcpserver.ElicitationResponse(req.Params.InputResponses, clipboardID)).allow), nil, nil
	case can.modern:
		return false, mcpserver.NewInputRequestBuilder(askedState).Elicit(clipboardID, clipboardForm()).ToolResult(), nil
	case asked: // by another call, which waits
		return false, nil, nil
	}
	asking, cancel := context.WithTimeout(ctx, consentTimeout)
	defer cancel()
	res, err := call.RequestElicitation(asking, mcp.ElicitationRequest{Params: clipboardForm()})
	if err != nil {
		s.cfg.Logger.Warn("the user was not asked about the clipboard", "error", err)
		return c.decide(false), nil, ctx.Err()
	}
	return c.decide(decisionOf(res).allow), nil, nil
}

func clipboardForm() mcp.ElicitationParams {
	return mcp.ElicitationParams{
		Message: "An agent sends something and does not get its claim URL to see. May kubbi-mcp put such claim URLs on your clipboard, for you to pass on? " +
			"Your answer is for this session. Later, kubbi-mcp handle shows a claim URL.",
		RequestedSchema: map[string]any{"type": "object", "properties": map[string]any{}},
	}
}
