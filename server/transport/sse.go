package transport

import (
	"context"
	"net/http"
)

// ServeSSE opens a session of the SSE transport and serves its stream. The stream carries
// the path to post to, all answers and notifications. The session ends with the stream.
func (e *Endpoint) ServeSSE(w http.ResponseWriter, r *http.Request) {
	if p := e.checkStream(w, r); p != nil {
		e.http.Refuse(w, p)
		return
	}
	s, p := e.open(SSE)
	if p != nil {
		e.http.Refuse(w, p)
		return
	}
	broadcasts, _ := s.openStream(1)
	defer e.remove(s)
	defer e.http.streamBegins(SSE)()
	first := "event: endpoint\ndata: /message?sessionId=" + s.id + "\r\n\r\n"
	e.serveStream(w, r, s, first, func(ctx context.Context, out *reply) {
		out.stream(ctx, s.out, broadcasts, e.http.limits.Heartbeat, false)
	})
}

// ServeMessage serves a message of an SSE session.
func (e *Endpoint) ServeMessage(w http.ResponseWriter, r *http.Request) {
	s := e.session(r.URL.Query().Get("sessionId"), SSE)
	if s == nil {
		e.http.Refuse(w, noSession())
		return
	}
	body, release, p := e.readBody(w, r)
	if p != nil {
		e.http.Refuse(w, p)
		return
	}
	m, fault := parse(body)
	switch {
	case fault != nil:
		defer release()
		// If the request's id is known, the client waits for the answer on the stream.
		if fault.id == nil || !s.calls.isFree(fault.id) || !s.out.put(outMessage{text: encodeError(fault)}) {
			e.http.refuse(w, fault.id, badRequest(fault.Code, fault.Message))
			return
		}
		e.http.cfg.Refused("bad_request")
	case m.isRequest():
		if p := e.startCall(s, m, r.Header, release); p != nil {
			e.http.refuse(w, m.id, p)
			return
		}
	default:
		defer release()
		s.receive(s.life, m)
	}
	w.WriteHeader(http.StatusAccepted)
}

// startCall runs a request, whose answer goes to the session's stream. It calls
// release when the answer is written or lost, or the request is refused.
func (e *Endpoint) startCall(s *Session, m *message, header http.Header, release func()) *Refusal {
	place, p := e.http.load.admit(&e.usage)
	if p != nil {
		release()
		return p
	}
	c := s.newCall(s.life, m, header, s.out)
	c.slot = place
	stop := context.AfterFunc(e.http.calls, c.cancel)
	c.done = func() { stop(); place.end(); release() }
	if !s.calls.add(c) {
		c.cancel()
		c.done()
		return Refuse(http.StatusBadRequest, "bad_request", "Invalid request: a request with this id is still running")
	}
	go c.run()
	return nil
}
