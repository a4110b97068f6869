package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/tools"
)

// stdio is one stdio transport at work. mcp-go has its own, which decodes every
// message about ten times over; this one reads it once, takes the arguments of
// a tool call out, and gives mcp-go what little is left.
type stdio struct {
	*Server
	session *stdioSession
	out     *lineWriter
	calls   calls
	done    chan *call // calls that have ended
	running int        // the two belong to the loop
	bytes   int
}

// ServeStdio serves MCP on a pair of streams, one JSON-RPC message a line, until
// stdin ends or ctx does; both are a normal end, as is a stdout that nobody
// reads any more. It writes nothing but protocol to stdout, each message
// in one Write.
//
// Requests run in parallel, and a request that the client cancels has its
// context cancelled. When stdin ends, running calls get five seconds to answer,
// since a host may send its requests all at once and close; then they are
// cancelled.
//
// It takes stdin over: a read that is under way when ctx ends is ended by a
// deadline or by closing stdin, if it has either. Where it has none that works (a
// terminal, say) the goroutine that reads stays behind until the read returns,
// as a rule with the process. A caller who passes the process's own stdout
// should ignore SIGPIPE, or the runtime ends the process first.
func (s *Server) ServeStdio(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	session := newStdioSession("stdio-" + strconv.FormatInt(s.sessions.Add(1), 10))
	if err := s.mcp.RegisterSession(ctx, session); err != nil {
		return fmt.Errorf("serve stdio: %w", err)
	}
	defer s.mcp.UnregisterSession(ctx, session.SessionID())
	s.metrics.sessionOpened("stdio")
	defer s.metrics.sessionClosed("stdio")
	defer session.outbox.close()
	defer s.watcher.drop(session.outbox.subscriber())
	defer s.claimer.SessionEnded(session.SessionID())
	ctx = s.mcp.WithContext(ctx, session)
	session.life = ctx
	t := &stdio{
		Server:  s,
		session: session,
		out:     startWriter(ctx, stdout, session, cancel),
		done:    make(chan *call, maxCalls),
	}
	session.write = t.out.write
	in := startReader(ctx, stdin, s.maxMessage)

	ended := t.loop(ctx, in.inputs)
	if ended {
		t.calls.cancel(func(k *call) bool { return k.listens })
		t.drain(ctx, s.eofGrace)
		t.calls.cancel(func(*call) bool { return true })
	}
	t.drain(context.Background(), s.stopGrace) // what is cancelled ends by itself
	if t.running > 0 {
		s.log.Warn("calls did not end when they were cancelled", "calls", t.running)
	}
	if ended {
		flushing, stop := context.WithTimeout(ctx, s.stopGrace)
		t.out.finish(flushing)
		stop()
	}
	cancel()
	t.out.wait(s.writeGrace)
	if ended || unblock(stdin) {
		<-in.ended
	}
	if err := t.out.err(); err != nil && !closed(err) {
		return fmt.Errorf("serve stdio: write: %w", err)
	}
	if ended && in.err != nil && in.err != io.EOF && !closed(in.err) {
		return fmt.Errorf("serve stdio: read: %w", in.err)
	}
	return nil
}

// closed reports whether an error only says that the other end has gone.
func closed(err error) bool {
	return slices.ContainsFunc(brokenPipe, func(e error) bool { return errors.Is(err, e) }) ||
		errors.Is(err, io.ErrClosedPipe) || errors.Is(err, os.ErrClosed)
}

// loop serves what comes in until there is no more (true) or ctx ends (false).
func (t *stdio) loop(ctx context.Context, inputs <-chan input) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case k := <-t.done:
			t.release(k)
		case in, ok := <-inputs:
			if !ok {
				return ctx.Err() == nil // the reader ends with ctx as well
			}
			t.serve(ctx, in)
		}
	}
}

// release takes note that a call has ended, and gives the memory of a large one
// back to the system: a server spends its life waiting.
func (t *stdio) release(k *call) {
	t.running--
	t.bytes -= k.size
	if k.large && t.running == 0 {
		debug.FreeOSMemory()
	}
}

// drain waits for running calls: until there are none, ctx ends, or the time is
// up.
func (t *stdio) drain(ctx context.Context, grace time.Duration) {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	for t.running > 0 {
		select {
		case k := <-t.done:
			t.release(k)
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// admit waits until a call of that size may run. It reports whether ctx still
// runs.
func (t *stdio) admit(ctx context.Context, k *call) bool {
	for t.running >= maxCalls || t.running > 0 && t.bytes+k.size > maxCallBytes {
		select {
		case d := <-t.done:
			t.release(d)
		case <-ctx.Done():
			return false
		}
	}
	t.running++
	t.bytes += k.size
	return true
}

// serve deals with one line.
func (t *stdio) serve(ctx context.Context, in input) {
	if in.tooLong {
		t.out.write(ctx, encodeError(&rpcError{
			Code:    mcp.INVALID_REQUEST,
			Message: "Invalid request: the message is longer than " + describeBytes(t.maxMessage),
			id:      findID(withoutMark(in.head), in.tail),
		}))
		return
	}
	if blank(in.line) {
		return
	}
	m, fault := parse(in.line)
	if fault != nil {
		t.out.write(ctx, encodeError(fault))
		return
	}
	switch {
	case m.method == nil:
		if !t.session.answered(m) {
			t.log.Debug("answer to no request of ours", "transport", "stdio")
		}
	case m.id == nil:
		t.notified(ctx, m)
	default:
		t.requested(ctx, m)
	}
}

// notified serves a notification, in its turn.
func (t *stdio) notified(ctx context.Context, m *message) {
	if m.name == string(mcp.MethodNotificationCancelled) {
		id := string(m.object.requestID)
		t.calls.cancel(func(k *call) bool {
			k.unwanted = k.unwanted || k.id == id
			return k.id == id
		})
		return
	}
	if m.name == mcp.MethodNotificationRootsListChanged {
		t.session.rootsChanged.Add(1)
		return
	}
	defer func() {
		if r := recover(); r != nil {
			t.logPanic(m.name, r)
		}
	}()
	t.mcp.HandleMessage(ctx, m.encode())
}

// requested serves a request: the handshake in its turn, since what follows
// depends on it, everything else on a goroutine of its own.
func (t *stdio) requested(ctx context.Context, m *message) {
	first := m.name == string(mcp.MethodInitialize) || m.name == string(mcp.MethodPing)
	if !first && !t.session.Initialized() && !m.modern() {
		t.out.write(ctx, encodeError(invalidRequest(m.id, "Invalid request: the first request must be initialize")))
		return
	}
	k := &call{
		id:      string(m.id),
		came:    time.Now(),
		size:    len(m.line),
		listens: m.name == string(mcp.MethodSubscriptionsListen),
	}
	k.ctx, k.cancel = context.WithCancel(ctx)
	if !t.calls.add(k) {
		k.cancel()
		t.out.write(ctx, encodeError(invalidRequest(m.id, "Invalid request: a request with this id is still running")))
		return
	}
	if first {
		t.answer(ctx, k, m, t.out.write)
		return
	}
	if !t.admit(ctx, k) {
		t.calls.remove(k)
		k.cancel()
		return
	}
	go func() {
		defer func() { t.done <- k }()
		t.answer(ctx, k, m, t.out.deliver)
	}()
}

// answer runs a request and writes its answer, unless the client has cancelled
// it.
func (t *stdio) answer(ctx context.Context, k *call, m *message, write func(context.Context, []byte) bool) {
	defer k.cancel()
	r := &request{transport: "stdio", size: len(m.line), trace: traceOf(nil, m.object.meta)}
	r.peer = tools.Peer{Session: t.session.SessionID(), Sent: k.came}
	out := t.handle(withRequest(k.ctx, r), m)
	r.settle(t.calls.remove(k) && write(ctx, out))
	k.large = max(k.size, len(out)) >= large
}

// handle runs a request and gives its encoded answer.
func (t *stdio) handle(ctx context.Context, m *message) (out []byte) {
	defer func() {
		if r := recover(); r != nil {
			t.logPanic(m.name, r)
			out = encodeError(&rpcError{Code: mcp.INTERNAL_ERROR, Message: errInternal.Error(), id: m.id})
		}
	}()
	r := requestOf(ctx)
	if m.name == string(mcp.MethodToolsCall) {
		if len(m.object.others) == 0 && !m.modern() {
			return encodeAnswer(m, t.callTool(ctx, m, m.takeArguments()))
		}
		r.arguments = m.takeArguments()
		m.object.arguments = jsontext.Value("{}")
	}
	switch mcp.MCPMethod(m.name) {
	case mcp.MethodResourcesSubscribe, mcp.MethodResourcesUnsubscribe:
		r.outbox = &t.session.outbox
	case mcp.MethodSubscriptionsListen:
		r.outbox = &outbox{listen: m.id}
		defer r.outbox.close()
	}
	plain := *m
	if m.name != string(mcp.MethodSubscriptionsListen) { // whose notifications name it
		plain.id = t.ids.forMCPGo(m.id) // the answer gets the id as it came
	}
	answer := t.mcp.HandleMessage(t.requestContext(ctx, nil), plain.encode())
	if r.fault != nil {
		return encodeError(&rpcError{Code: r.fault.Code, Message: r.fault.Message, Data: r.fault.Data, id: m.id})
	}
	return encodeAnswer(m, answer)
}

// unblock ends a read of stdin that is under way, and reports whether it could.
func unblock(stdin io.Reader) bool {
	if d, ok := stdin.(interface{ SetReadDeadline(time.Time) error }); ok {
		if d.SetReadDeadline(time.Unix(1, 0)) == nil {
			return true
		}
	}
	if _, isFile := stdin.(*os.File); isFile {
		// Closing a file that has no deadlines does not end a read of it. On
		// Windows it even waits for that read.
		return false
	}
	c, ok := stdin.(io.Closer)
	return ok && c.Close() == nil
}

// blank reports whether a line holds nothing. A zero byte alone is half of a line
// end in UTF-16.
func blank(line []byte) bool {
	for _, c := range withoutMark(line) {
		if c != ' ' && c != '\t' && c != '\r' && c != 0 {
			return false
		}
	}
	return true
}
