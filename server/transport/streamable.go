package transport

import (
	"context"
	"io"
	"mime"
	"net/http"
	"strconv"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
)

// maxStreams is how many streams a session may have.
const maxStreams = 8

// ServeStreamable serves streamable HTTP, which has one path.
func (e *Endpoint) ServeStreamable(w http.ResponseWriter, r *http.Request) {
	version := r.Header.Get(mcp.HeaderProtocolVersion)
	switch modern := mcp.IsModernProtocol(version); {
	case r.Method == http.MethodPost:
		e.servePost(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodDelete:
		w.Header().Set("Allow", "GET, POST, DELETE")
		e.http.Refuse(w, Refuse(http.StatusMethodNotAllowed, "bad_request", "Method not allowed"))
	case modern:
		w.Header().Set("Allow", http.MethodPost)
		e.http.Refuse(w, Refuse(http.StatusMethodNotAllowed, "bad_request", "Method not allowed: since protocol version 2026-07-28 there are no sessions; listen with subscriptions/listen"))
	case !knownVersion(version):
		e.http.Refuse(w, unknownVersion(version))
	case r.Method == http.MethodGet:
		e.serveGet(w, r)
	default:
		s := e.session(r.Header.Get(mcpserver.HeaderKeySessionID), StreamableHTTP)
		if s == nil {
			e.http.Refuse(w, noSession())
			return
		}
		e.remove(s)
		w.WriteHeader(http.StatusOK)
	}
}

// serveGet serves a stream of a session's messages that belong to no request, until the
// client leaves, the session ends or the server shuts down.
func (e *Endpoint) serveGet(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get(mcpserver.HeaderKeySessionID)
	s := e.session(id, StreamableHTTP)
	switch {
	case id == "":
		e.http.Refuse(w, missingSession())
		return
	case s == nil:
		e.http.Refuse(w, noSession())
		return
	}
	if p := e.checkStream(w, r); p != nil {
		e.http.Refuse(w, p)
		return
	}
	broadcasts, ok := s.openStream(maxStreams)
	if !ok {
		e.http.Refuse(w, Busy(http.StatusTooManyRequests, "too_many_sessions", "Too many streams of this session are open"))
		return
	}
	defer s.closeStream()
	defer e.http.streamBegins(StreamableHTTP)()
	e.serveStream(w, r, s, "", func(ctx context.Context, out *reply) {
		out.stream(ctx, s.out, broadcasts, e.http.limits.Heartbeat, false)
	})
}

// maxStreamBody is the limit of a body, in bytes, in a request for a stream, which needs
// no body.
const maxStreamBody = 64 << 10

// checkStream refuses a stream that must not begin.
func (e *Endpoint) checkStream(w http.ResponseWriter, r *http.Request) *Refusal {
	if e.http.load.isClosed() {
		return Draining()
	}
	// Until the body is read, net/http does not notice that the client has left.
	if _, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxStreamBody)); err != nil {
		return unreadable(err)
	}
	return nil
}

// serveStream serves a stream of events, which begins with first.
func (e *Endpoint) serveStream(w http.ResponseWriter, r *http.Request, s *Session, first string, serve func(context.Context, *reply)) {
	out := newReply(w, e.http.limits.StallTimeout)
	defer out.end()
	defer context.AfterFunc(s.life, out.endSoon)()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	out.startEvents()
	if out.write([]byte(first)) == nil {
		serve(ctx, out)
	}
}

// servePost serves a message.
func (e *Endpoint) servePost(w http.ResponseWriter, r *http.Request) {
	body, release, p := e.readBody(w, r)
	if p != nil {
		e.http.Refuse(w, p)
		return
	}
	defer release()
	m, fault := parse(body)
	if fault != nil {
		p := badRequest(fault.Code, fault.Message)
		p.Status = e.statusOf(r, fault)
		e.http.refuse(w, fault.id, p)
		return
	}
	if p := checkVersion(r.Header, m); p != nil {
		e.http.refuse(w, m.id, p)
		return
	}
	var place *slot
	if m.isRequest() && m.name != string(mcp.MethodSubscriptionsListen) { // a stream, which counts as no call
		if place, p = e.http.load.admit(&e.usage); p != nil {
			e.http.refuse(w, m.id, p)
			return
		}
		defer place.end()
	}
	s, end, p := e.sessionFor(r, m)
	if p != nil {
		e.http.refuse(w, m.id, p)
		return
	}
	defer end()
	if m.isRequest() {
		e.serveCall(w, r, s, m, place)
		return
	}
	s.receive(r.Context(), m)
	w.WriteHeader(http.StatusAccepted)
}

// statusOf is the HTTP status of an answer to a message that can't be served. In a session
// it is 200 if the request's id is known: some clients don't read the body of an error
// status, and would wait for the answer until their timeout.
func (e *Endpoint) statusOf(r *http.Request, fault *Error) int {
	if fault.id != nil && !modernHeader(r.Header) && e.Has(r.Header.Get(mcpserver.HeaderKeySessionID)) {
		return http.StatusOK
	}
	return http.StatusBadRequest
}

// sessionFor gives the session that a message belongs to, or opens one. end must be
// called after use.
func (e *Endpoint) sessionFor(r *http.Request, m *message) (s *Session, end func(), p *Refusal) {
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/json" {
		return nil, nil, Refuse(http.StatusBadRequest, "bad_request", "Invalid request: the Content-Type must be application/json")
	}
	id := r.Header.Get(mcpserver.HeaderKeySessionID)
	switch {
	case m.modern() || modernHeader(r.Header):
		if m.name != string(mcp.MethodSubscriptionsListen) {
			s = e.newStateless()
			return s, s.close, nil
		}
		if e.http.load.isClosed() {
			return nil, nil, Draining()
		}
		s = e.newStateless()
		if p := e.add(s); p != nil { // it counts as a session, and Close ends it
			s.close()
			return nil, nil, p
		}
		return s, func() { e.remove(s) }, nil
	case m.name == string(mcp.MethodInitialize):
		if s, p = e.open(StreamableHTTP); p != nil {
			return nil, nil, p
		}
	case id == "":
		return nil, nil, missingSession()
	default:
		if s = e.session(id, StreamableHTTP); s == nil {
			return nil, nil, noSession()
		}
	}
	return s, s.beginRequest(), nil
}

// serveCall answers a request: with JSON if the answer is the first message, else with a
// stream of events that ends with the answer.
func (e *Endpoint) serveCall(w http.ResponseWriter, r *http.Request, s *Session, m *message, place *slot) {
	life, stop := context.WithCancel(r.Context())
	defer stop()
	box := newOutbox(life)
	c := s.newCall(r.Context(), m, r.Header, box)
	c.slot = place
	defer context.AfterFunc(e.http.calls, c.cancel)()
	if c.Listens() { // until its session ends
		defer context.AfterFunc(s.life, c.cancel)()
	}
	s.calls.add(c) // if a running call has the same id, this one can't be cancelled
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.run()
	}()
	out := newReply(w, e.http.limits.StallTimeout)
	defer out.end()
	e.answer(r.Context(), out, c, box)
	c.cancel()
	stop()
	box.close()
	<-ended
	if m.name == string(mcp.MethodInitialize) && (c.code != 0 || !c.delivery.written) {
		e.remove(s) // the client does not know its id
	}
}

// answer writes the notifications and the answer of a call.
func (e *Endpoint) answer(ctx context.Context, out *reply, c *Call, box *outbox) {
	select {
	case <-ctx.Done():
		return
	case <-box.ready:
	}
	first, ok := box.take()
	if !ok {
		return // the outbox was closed
	}
	if first.answer != nil {
		header := out.w.Header()
		header.Set("Content-Type", "application/json")
		header.Set("Content-Length", strconv.Itoa(len(first.text)))
		if c.Method == string(mcp.MethodInitialize) && c.code == 0 {
			header.Set(mcpserver.HeaderKeySessionID, c.Session.id)
		}
		status := http.StatusOK
		if c.Modern {
			status = statusOfCode(c.code)
		}
		out.w.WriteHeader(status)
		first.done(out.write(first.text) == nil && ctx.Err() == nil)
		return
	}
	if c.Listens() {
		defer e.http.streamBegins(StreamableHTTP)()
		defer context.AfterFunc(c.life, out.endSoon)()
	}
	out.startEvents()
	if out.event(first.text) == nil {
		out.stream(ctx, box, nil, e.http.limits.Heartbeat, true)
	}
}
