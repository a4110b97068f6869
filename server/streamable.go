package server

import (
	"bytes"
	"context"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
)

// newStreamable makes a caller's streamable HTTP transport: mcp-go's, behind
// what it leaves to others.
func newStreamable(c *caller) *mcpserver.StreamableHTTPServer {
	return mcpserver.NewStreamableHTTPServer(c.server.mcp,
		mcpserver.WithSessionIdManager(c.sessions),
		mcpserver.WithStreamableHTTPLogger(c.server.log),
		mcpserver.WithDisableLocalhostProtection(true), // guard is stricter
		mcpserver.WithHTTPContextFunc(c.server.requestContext),
	)
}

// serveStreamable serves the one endpoint of streamable HTTP.
func (h *HTTP) serveStreamable(w http.ResponseWriter, r *http.Request, c *caller) {
	switch r.Method {
	case http.MethodPost:
		h.servePost(w, r, c)
	case http.MethodGet:
		h.serveStream(w, r, c)
	case http.MethodDelete:
		h.serveDelete(w, r, c)
	default:
		w.Header().Set("Allow", "GET, POST, DELETE")
		h.refuse(w, nil, refusal(http.StatusMethodNotAllowed, "bad_request", "Method not allowed"))
	}
}

// servePost serves a message.
func (h *HTTP) servePost(w http.ResponseWriter, r *http.Request, c *caller) {
	body, release, p := h.readBody(w, r, c)
	if p != nil {
		h.refuse(w, nil, p)
		return
	}
	defer release()
	m, fault := parse(body)
	if fault != nil {
		h.refuse(w, fault.id, &problem{status: h.statusOf(r, c, fault), code: fault.Code, reason: "bad_request", message: fault.Message})
		return
	}
	s, end, p := h.admitPost(r, c, m)
	if p != nil {
		h.refuse(w, m.id, p)
		return
	}
	defer end()
	if m.id == nil && m.name == string(mcp.MethodNotificationCancelled) && modernHeader(r) {
		// Without sessions an id names no request; closing the stream cancels.
		w.WriteHeader(http.StatusAccepted)
		return
	}
	if m.id != nil && m.name == string(mcp.MethodSubscriptionsListen) {
		h.serveListen(w, r, c, m)
		return
	}
	if s != nil && c.server.asks.answer(m) {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	out := newReply(c.server.ids.writer(w), h.limits.StallTimeout)
	out.marks = &c.server.marks
	if s != nil && h.serveCall(out, r, c, s, m) {
		return
	}
	req := c.server.newRequest("http", r.Header, m)
	req.out = out
	if s != nil {
		req.outbox, req.peer.Session = &s.outbox, s.id
	}
	c.streamable.ServeHTTP(out, c.server.forward(r.WithContext(withRequest(r.Context(), req)), m))
	req.settleBy(r.Context(), out)
}

// statusOf is the HTTP status of an answer to a message that can't be served. In a
// session it is 200 where the request is known by its id: some clients look at no
// body of an error, and would wait for their answer until its time is up.
func (h *HTTP) statusOf(r *http.Request, c *caller, fault *rpcError) int {
	if fault.id != nil && !modernHeader(r) && c.sessions.get(r.Header.Get(mcpserver.HeaderKeySessionID), false) != nil {
		return http.StatusOK
	}
	return http.StatusBadRequest
}

// serveListen serves a stream of notifications without a session, until the
// client leaves or the server ends.
func (h *HTTP) serveListen(w http.ResponseWriter, r *http.Request, c *caller, m *message) {
	req := c.server.newRequest("http", r.Header, m)
	req.outbox = &outbox{listen: m.id}
	ctx, cancel := context.WithCancel(h.life)
	done, p := c.sessions.listen(cancel)
	if p == nil {
		p = h.detach(ctx, cancel, w, req.outbox, func(out *reply) {
			defer done()
			defer req.outbox.close()
			out.ResponseWriter = c.server.ids.writer(out.ResponseWriter)
			c.streamable.ServeHTTP(out, c.server.forward(r.WithContext(withRequest(ctx, req)), m))
		})
		if p != nil {
			done()
		}
	}
	if p != nil {
		cancel()
		h.refuse(w, m.id, p)
	}
}

// serveCall serves a tool call of a session whose answer is all that the client
// can get for it, without mcp-go, which would decode the message half a dozen
// times more. It reports false if it has done nothing: for a call that may send
// notifications before its answer, for a tool that is not ours, which may ask the
// client for something, and for what mcp-go would refuse.
func (h *HTTP) serveCall(out *reply, r *http.Request, c *caller, s *session, m *message) bool {
	switch {
	case m.name == string(mcp.MethodNotificationCancelled):
		id := string(m.object.requestID)
		s.calls.cancel(func(k *call) bool { return k.id == id })
		return false // mcp-go may know it
	case m.name == string(mcp.MethodSetLogLevel):
		s.logs.Store(true)
		return false
	case m.id == nil || m.name != string(mcp.MethodToolsCall) || s.logs.Load() || m.hasProgressToken() || len(m.object.others) > 0,
		c.server.added[unquote(m.object.tool)]:
		return false
	}
	version := r.Header.Get(mcp.HeaderProtocolVersion)
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" || version != "" && !mcp.IsValidProtocolVersion(version) {
		return false
	}
	k := &call{id: string(m.id)}
	k.ctx, k.cancel = context.WithCancel(r.Context())
	defer k.cancel()
	if s.calls.add(k) { // of two with one id, the second can't be cancelled
		defer s.calls.remove(k)
	}
	req := c.server.newRequest("http", r.Header, m)
	req.peer.Session = s.id
	answer := encodeAnswer(m, c.server.callTool(withRequest(k.ctx, req), m, req.arguments))
	out.Header().Set("Content-Type", "application/json")
	out.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	_, _ = out.Write(answer)
	req.settleBy(r.Context(), out)
	return true
}

// admitPost checks what a message needs beside itself: a session, nil where
// there is none yet or never will be, and room to run. end gives both back.
func (h *HTTP) admitPost(r *http.Request, c *caller, m *message) (s *session, end func(), p *problem) {
	over := func() {}
	switch id := r.Header.Get(mcpserver.HeaderKeySessionID); {
	case m.modern() || modernHeader(r): // without sessions
	case m.name == string(mcp.MethodInitialize):
		if over, p = c.sessions.reserve(); p != nil {
			return nil, nil, p
		}
	case id == "":
		return nil, nil, refusal(http.StatusBadRequest, "no_session", "Invalid request: the Mcp-Session-Id header that initialize gave is missing")
	default:
		if s = c.sessions.get(id, false); s == nil {
			return nil, nil, noSession()
		}
		over = s.begin()
	}
	if m.id == nil || m.method == nil || m.name == string(mcp.MethodSubscriptionsListen) {
		return s, over, nil // it starts nothing that runs
	}
	ended, p := h.load.admit(c)
	if p != nil {
		over()
		return nil, nil, p
	}
	return s, func() { over(); ended() }, nil
}

// modernHeader reports whether a request says in its headers that it belongs to
// a protocol version without sessions.
func modernHeader(r *http.Request) bool {
	return mcp.IsModernProtocol(r.Header.Get(mcp.HeaderProtocolVersion))
}

// takeOut is from which size on, in bytes, the arguments of a call without
// sessions to a tool that is not ours are kept from mcp-go, which decodes them
// again and again. It must see smaller ones: those versions have headers that
// repeat arguments, which ours don't use.
const takeOut = 64 << 10

// newRequest makes what our hooks need to know of a message, and takes the
// arguments of a tool call out of it.
func (s *Server) newRequest(transport string, header http.Header, m *message) *request {
	req := &request{transport: transport, size: len(m.line), trace: traceOf(header, m.object.meta)}
	req.peer.Sent = time.Now()
	if m.name == string(mcp.MethodToolsCall) && (!m.modern() || len(m.line) > takeOut || !s.added[unquote(m.object.tool)]) {
		req.arguments = m.takeArguments()
		m.object.arguments = jsontext.Value("{}")
	}
	return req
}

// forward gives the request that mcp-go sees: what is left of the message, in
// one spelling. An answer goes through as it is.
func (s *Server) forward(r *http.Request, m *message) *http.Request {
	body := m.line
	if m.method != nil {
		plain := *m
		plain.id = s.ids.forMCPGo(m.id)
		plain.object.requestID = s.ids.forMCPGo(m.object.requestID)
		body = plain.encode()
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	return r
}

// serveStream serves a session's stream of notifications, until the client
// leaves, the session ends, or the server does.
func (h *HTTP) serveStream(w http.ResponseWriter, r *http.Request, c *caller) {
	if modernHeader(r) {
		c.streamable.ServeHTTP(w, r) // refuses it
		return
	}
	id := r.Header.Get(mcpserver.HeaderKeySessionID)
	if id == "" {
		h.refuse(w, nil, refusal(http.StatusBadRequest, "no_session", "Invalid request: the Mcp-Session-Id header that initialize gave is missing"))
		return
	}
	s := c.sessions.get(id, false)
	if s == nil {
		h.refuse(w, nil, noSession())
		return
	}
	if h.load.isClosed() {
		h.refuse(w, nil, draining())
		return
	}
	ctx, cancel := context.WithCancel(h.life)
	stream, p := s.openStream(cancel)
	if p == nil {
		req := &request{transport: "http", opened: func(opened mcpserver.ClientSession) {
			s.outbox.attach(stream, opened.NotificationChannel())
		}}
		r = r.WithContext(withRequest(ctx, req))
		r.Body = http.NoBody
		r.Header.Set(mcpserver.HeaderKeySessionID, stream)
		p = h.detach(ctx, cancel, w, &s.outbox, func(out *reply) {
			defer s.closeStream(stream)
			h.cfg.Metrics.streamOpened("http")
			defer h.cfg.Metrics.streamClosed("http")
			c.streamable.ServeHTTP(out, r)
		})
		if p != nil {
			s.closeStream(stream)
		}
	}
	if p != nil {
		cancel()
		h.refuse(w, nil, p)
	}
}

func (h *HTTP) serveDelete(w http.ResponseWriter, r *http.Request, c *caller) {
	if id := r.Header.Get(mcpserver.HeaderKeySessionID); !modernHeader(r) && c.sessions.get(id, false) == nil {
		h.refuse(w, nil, noSession())
		return
	}
	c.streamable.ServeHTTP(newReply(w, h.limits.StallTimeout), r)
}

// requestContext gives mcp-go the context of a request: with a session that
// notes what it is sent and, where there is a way to tell it news, can subscribe.
func (s *Server) requestContext(ctx context.Context, _ *http.Request) context.Context {
	ctx = s.noting(ctx)
	box := requestOf(ctx).outbox
	session := mcpserver.ClientSessionFromContext(ctx)
	if box == nil || session == nil {
		return ctx
	}
	if box.listen != nil {
		box.attach("", session.NotificationChannel())
	}
	return s.withSubscriptions(ctx, session, box.subscriber())
}
