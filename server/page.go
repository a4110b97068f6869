package server

import (
	"context"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/server/transport"
	"kubbi-mcp/tools"
)

// pageID names the page in an answer that asks the client to show it.
const pageID = "page"

// showPage asks the client of a call to show its user a page, by elicitation in URL mode. A
// client of protocol version 2026-07-28 is asked in the answer to the call, an older one by
// a request. What the user enters on the page never goes through the client.
func (s *Server) showPage(ctx context.Context, round mcp.MultiRoundTripParams, p tools.Page) (tools.PageAnswer, *mcp.CallToolResult, error) {
	call := transport.CallOf(ctx)
	if call == nil {
		return tools.PageNotOffered, nil, nil
	}
	can := abilitiesOf(ctx, call.Session)
	params := mcp.ElicitationParams{Mode: mcp.ElicitationModeURL, Message: p.Message, URL: p.URL}
	switch {
	case !can.pages:
		return tools.PageNotOffered, nil, nil
	case !can.modern:
		params.ElicitationID = p.RequestID // later versions have none
		return s.showPageByRequest(ctx, call, params)
	}
	if _, answered := round.InputResponses[pageID]; answered {
		return pageAnswer(mcpserver.ElicitationResponse(round.InputResponses, pageID)), nil, nil
	}
	if round.RequestState != "" { // the client has made the call again without an answer
		return tools.PageUnanswered, nil, nil
	}
	return 0, mcpserver.NewInputRequestBuilder("").Elicit(pageID, params).ToolResult(), nil
}

// showPageByRequest waits for the user's answer as long as a host waits for a call.
func (s *Server) showPageByRequest(ctx context.Context, call *transport.Call, params mcp.ElicitationParams) (tools.PageAnswer, *mcp.CallToolResult, error) {
	asking, cancel := context.WithTimeout(ctx, s.askTimeout)
	defer cancel()
	res, err := call.RequestElicitation(asking, mcp.ElicitationRequest{Params: params})
	switch {
	case ctx.Err() != nil:
		return 0, nil, ctx.Err()
	case asking.Err() != nil:
		return tools.PageUnanswered, nil, nil
	case err != nil:
		s.cfg.Logger.Warn("the host declares that it shows pages to its user, and answers with an error", "error", err)
		return tools.PageNotOffered, nil, nil
	}
	answer := pageAnswer(res)
	if answer == tools.PageAccepted {
		s.notifyWhenComplete(call.Session, params.ElicitationID)
	}
	return answer, nil, nil
}

const (
	maxShownPages    = 16             // for which the clients of a Server get a notification
	shownPageTimeout = 24 * time.Hour // the longest life of a request
)

// notifyWhenComplete waits until a request has ended, and notifies the client that has shown
// its page.
func (s *Server) notifyWhenComplete(session *transport.Session, requestID string) {
	select {
	case s.shownPages <- struct{}{}:
	default:
		return // the client can do without
	}
	s.waiting.Go(func() {
		defer func() { <-s.shownPages }()
		ctx := session.Context()
		asked, err := s.cfg.Client.Asked(ctx, requestID, kubbi.WithWait(shownPageTimeout))
		if err != nil || asked.Status == api.RequestPending {
			return
		}
		if err := s.mcp.SendElicitationComplete(ctx, session, requestID); err != nil {
			s.cfg.Logger.Debug("the client was not notified that a page is complete", "error", err)
		}
	})
}

func pageAnswer(res *mcp.ElicitationResult) tools.PageAnswer {
	switch {
	case res == nil:
		return tools.PageUnanswered
	case res.Action == mcp.ElicitationResponseActionAccept:
		return tools.PageAccepted
	default:
		return tools.PageDeclined
	}
}
