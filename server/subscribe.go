package server

import (
	"context"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
)

// withSubscriptions gives a context whose session can subscribe to kubbis for a
// subscriber, and is as it was in all else. It is for one request: what a
// subscription must ask the Kubbi API, it asks with the request's context.
func (s *Server) withSubscriptions(ctx context.Context, session mcpserver.ClientSession, sub *subscriber) context.Context {
	subs := &subscriptions{server: s, session: session, ctx: ctx, sub: sub}
	var both mcpserver.ClientSession
	switch session := session.(type) {
	case *stdioSession:
		both = struct {
			*subscriptions
			beneathStdio
		}{subs, beneathStdio{session}}
	case streamableSession:
		both = struct {
			*subscriptions
			beneathStreamable
		}{subs, beneathStreamable{session}}
	case sseSession:
		both = struct {
			*subscriptions
			beneathSSE
		}{subs, beneathSSE{session}}
	default:
		both = struct {
			*subscriptions
			beneathOther
		}{subs, beneathOther{session}}
	}
	return s.mcp.WithContext(ctx, both)
}

// What mcp-go's sessions can do. Each stands one level beneath subscriptions,
// whose methods so go before theirs.
type (
	sseSession interface {
		mcpserver.SessionWithLogging
		mcpserver.SessionWithClientInfo
		mcpserver.SessionWithProtocolVersion
		SetProtocolVersion(version string)
		mcpserver.SessionWithTools
		mcpserver.SessionWithResources
		mcpserver.SessionWithResourceTemplates
	}
	streamableSession interface {
		sseSession
		mcpserver.SessionWithSubscriptionFilter
		mcpserver.SessionWithStreamableHTTPConfig
		mcpserver.SessionWithElicitation
		mcpserver.SessionWithRoots
		mcpserver.SessionWithSampling
	}

	beneathStdio      struct{ *stdioSession }
	beneathSSE        struct{ sseSession }
	beneathStreamable struct{ streamableSession }
	beneathOther      struct{ mcpserver.ClientSession }
)

// subscriptions are what a request's session lacks at mcp-go.
type subscriptions struct {
	server  *Server
	session mcpserver.ClientSession
	ctx     context.Context // of the request
	sub     *subscriber
}

// SubscribeToResource is SubscribeToResourceErr for who does not ask.
func (s *subscriptions) SubscribeToResource(uri string) { _ = s.SubscribeToResourceErr(uri) }

// SubscribeToResourceErr subscribes to a kubbi of the caller's, or to a resource
// that others have registered, whose changes they know themselves.
func (s *subscriptions) SubscribeToResourceErr(uri string) error {
	if _, others := s.server.mcp.ListResources()[uri]; others {
		return s.server.watcher.accept(s.sub, uri)
	}
	ctx := s.ctx
	if life := requestOf(ctx).life; life != nil {
		// Over SSE the HTTP request, and with it its context, has ended by now.
		detached, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		defer context.AfterFunc(life, cancel)()
		ctx = detached
	}
	err := s.server.watcher.subscribe(ctx, s.sub, uri)
	if err != nil && err != errNoResource && err != errTooManySubscriptions {
		// For mcp-go every reason is that there is no such resource.
		requestOf(s.ctx).fault = &rpcError{Code: mcp.INTERNAL_ERROR, Message: err.Error()}
	}
	return err
}

// UnsubscribeFromResource ends a subscription.
func (s *subscriptions) UnsubscribeFromResource(uri string) { s.server.watcher.unsubscribe(s.sub, uri) }

// SubscribedResources gives the subscriptions.
func (s *subscriptions) SubscribedResources() []string { return s.server.watcher.subscribed(s.sub) }

// IsSubscribedToResource reports whether there is a subscription.
func (s *subscriptions) IsSubscribedToResource(uri string) bool {
	done, _ := s.server.watcher.check(s.sub, uri)
	return done
}

// NotificationChannel is the session's. mcp-go asks for it when a listen
// request's subscriptions are made, to acknowledge them; from then on there may
// be news.
func (s *subscriptions) NotificationChannel() chan<- mcp.JSONRPCNotification {
	s.hold(false)
	return s.session.NotificationChannel()
}

func (s *subscriptions) hold(held bool) { s.server.watcher.hold(s.sub, held) }

// holdNews holds news back until a listen request is acknowledged, which must be
// the first that its stream says.
func holdNews(ctx context.Context, _ any, _ *mcp.SubscriptionsListenRequest) {
	if s, ok := mcpserver.ClientSessionFromContext(ctx).(interface{ hold(bool) }); ok {
		s.hold(true)
	}
}
