package server

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
)

// newSSE makes a caller's SSE transport: mcp-go's, behind what it leaves to
// others.
func newSSE(c *caller) *mcpserver.SSEServer {
	return mcpserver.NewSSEServer(c.server.mcp,
		mcpserver.WithSSEDisableLocalhostProtection(true), // guard is stricter
		mcpserver.WithSessionIDGenerator(func(ctx context.Context, _ *http.Request) (string, error) {
			return requestOf(ctx).session, nil
		}),
		mcpserver.WithSSEContextFunc(c.server.requestContext),
	)
}

// serveSSE opens a session of the SSE transport and serves its stream, which
// carries the endpoint to post to, all answers, and notifications.
func (h *HTTP) serveSSE(w http.ResponseWriter, r *http.Request, c *caller) {
	if h.load.isClosed() {
		h.refuse(w, nil, draining())
		return
	}
	reserved, p := c.sessions.reserve()
	if p != nil {
		h.refuse(w, nil, p)
		return
	}
	defer reserved()
	ctx, cancel := context.WithCancel(h.life)
	s := c.sessions.openSSE(ctx)
	stream, p := s.openStream(cancel)
	if p == nil {
		p = h.detach(ctx, cancel, w, &s.outbox, func(out *reply) {
			defer c.sessions.remove(s.id)
			h.cfg.Metrics.streamOpened("sse")
			defer h.cfg.Metrics.streamClosed("sse")
			c.streamSSE(ctx, out, r, s, stream)
		})
	}
	if p != nil {
		cancel()
		c.sessions.remove(s.id)
		h.refuse(w, nil, p)
	}
}

// streamSSE has mcp-go serve the stream of a session, until ctx ends.
func (c *caller) streamSSE(ctx context.Context, out *reply, r *http.Request, s *session, stream string) {
	out.marks = &c.server.marks
	out.ResponseWriter = c.server.ids.writer(out.ResponseWriter)
	allowed := out.Header().Get("Access-Control-Allow-Origin")
	out.before = func() { // mcp-go lets every page read the stream
		out.Header().Del("Access-Control-Allow-Origin")
		if allowed != "" {
			out.Header().Set("Access-Control-Allow-Origin", allowed)
		}
	}
	out.writes = func(event []byte) func(bool) {
		// A client may use the id again as soon as it has the answer.
		return s.paying(answeredID(event))
	}
	var session mcpserver.ClientSession
	s.stream.Store(out)
	req := &request{transport: "sse", session: s.id, opened: func(opened mcpserver.ClientSession) {
		session = opened
		s.outbox.attach(stream, opened.NotificationChannel())
	}}
	r = r.WithContext(withRequest(ctx, req))
	r.Body = http.NoBody
	c.sse.SSEHandler().ServeHTTP(out, r)
	s.end(true)
	c.cancelOwed(s, session)
}

// cancelOwed cancels the requests whose answers can't reach the client any
// more. mcp-go has detached them from their HTTP requests, and knows no other
// way to end them.
func (c *caller) cancelOwed(s *session, session mcpserver.ClientSession) {
	ctx := context.Background()
	if session != nil {
		ctx = c.server.mcp.WithContext(ctx, session)
	}
	for _, id := range s.owed() {
		c.server.cancelRequest(ctx, json.RawMessage(id))
		s.paying(id)(false)
	}
}

// serveMessage serves a message of an SSE session.
func (h *HTTP) serveMessage(w http.ResponseWriter, r *http.Request, c *caller) {
	s := c.sessions.get(r.URL.Query().Get("sessionId"), true)
	if s == nil {
		h.refuse(w, nil, noSession())
		return
	}
	body, release, p := h.readBody(w, r, c)
	if p != nil {
		h.refuse(w, nil, p)
		return
	}
	m, fault := parse(body)
	if fault != nil {
		release()
		if s.answerFault(fault, c.server.ids) {
			h.cfg.Metrics.refused("bad_request")
			w.WriteHeader(http.StatusAccepted)
			return
		}
		h.refuse(w, fault.id, &problem{status: http.StatusBadRequest, code: fault.Code, reason: "bad_request", message: fault.Message})
		return
	}
	req := c.server.newRequest("sse", r.Header, m)
	req.outbox, req.life, req.peer.Session = &s.outbox, s.life, s.id
	if m.name == string(mcp.MethodSubscriptionsListen) {
		req.outbox = &outbox{listen: m.id}
	}
	owed := ""
	if m.id != nil && m.method != nil {
		end, p := h.load.admit(c)
		if p == nil {
			owed = canonicalID(c.server.ids.forMCPGo(m.id))
			answered := func(delivered bool) { req.settle(delivered); end(); release() }
			if p = s.owe(owed, answered); p != nil {
				end()
			}
		}
		if p != nil {
			release()
			h.refuse(w, m.id, p)
			return
		}
	} else {
		defer release()
	}
	// Who sends it must send others too, but over streamable HTTP only.
	r.Header.Del(mcp.HeaderProtocolVersion)
	out := newReply(w, h.limits.StallTimeout)
	c.sse.MessageHandler().ServeHTTP(out, c.server.forward(r.WithContext(withRequest(r.Context(), req)), m))
	if out.status != http.StatusAccepted && owed != "" {
		s.paying(owed)(false)
	}
}

// answerFault writes the answer to a message that can't be served to the stream of
// an SSE session, where a client waits for it. It reports false if it can't: the
// request is not known by an id, or another one has it.
func (s *session) answerFault(fault *rpcError, ids exactIDs) bool {
	out := s.stream.Load()
	id := canonicalID(ids.forMCPGo(fault.id))
	if out == nil || fault.id == nil || s.owe(id, func(bool) {}) != nil {
		return false
	}
	s.paying(id) // a client may use it again as soon as it has the answer
	event := append([]byte("event: message\ndata: "), encodeError(&rpcError{Code: fault.Code, Message: fault.Message, id: ids.forMCPGo(fault.id)})...)
	_, _ = out.Write(append(event, '\n')) // the data ends with a line's end
	out.Flush()
	return true
}

// answeredID gives the id of the request that an event answers, empty if it
// answers none.
func answeredID(event []byte) string {
	_, data, ok := bytes.Cut(event, []byte("data: "))
	if !ok {
		return ""
	}
	id := ""
	headMembers(data[:min(len(data), maxID+256)], func(name string, v jsontext.Value) bool {
		switch name {
		case "id":
			id = canonicalID(v)
		case "method":
			id = "" // a request of ours
			return false
		}
		return true
	})
	return id
}

// canonicalID writes an id as mcp-go does, which reads numbers as float64.
func canonicalID(id jsontext.Value) string {
	if id.Kind() == '0' {
		if f, err := strconv.ParseFloat(string(id), 64); err == nil {
			return strconv.FormatFloat(f, 'g', -1, 64)
		}
	}
	text, err := jsontext.AppendUnquote(nil, []byte(id))
	if err != nil { // it holds half of a character
		return string(id)
	}
	b, err := jsontext.AppendQuote(nil, text)
	if err != nil {
		return string(id)
	}
	return string(b)
}
