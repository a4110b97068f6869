package transport

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"golang.org/x/sync/semaphore"

	"kubbi-mcp/internal/memory"
)

// StdioConfig is what ServeStdio needs.
type StdioConfig struct {
	Config
	MaxMessage int           // bytes of a message
	EOFGrace   time.Duration // for calls that run when stdin ends; 0: five seconds
}

const (
	stopGrace  = 5 * time.Second        // for calls that were cancelled, and their last answers
	writeGrace = 100 * time.Millisecond // for a write under way when ctx ends
)

// Limits of what runs at once over stdio. Beyond them the reader waits.
const (
	maxCalls     = 64                         // that work
	maxWaits     = waitsPerCall * maxCalls    // calls that wait
	maxCallBytes = 2 * DefaultMaxMessageBytes // of the messages of running calls; a single one may be larger
)

// stdio is one stdio transport at work.
type stdio struct {
	cfg     StdioConfig
	session *Session
	calls   *semaphore.Weighted // calls that may work
	waits   *semaphore.Weighted // calls that may wait
	bytes   *semaphore.Weighted // bytes of their messages
	running atomic.Int64
}

// ServeStdio serves MCP on a pair of streams, one JSON-RPC message a line. It returns nil
// when stdin or ctx has ended, or when nobody reads stdout any more. It writes only MCP
// messages to stdout, each in one Write.
//
// Requests run in parallel. If the client cancels a request, its context is cancelled.
// When stdin ends, running calls may answer within EOFGrace, since a host may send all its
// requests and close stdin at once. Then they are cancelled, and get five seconds more to end.
//
// If ctx ends during a read, ServeStdio ends the read with a deadline, or by closing
// stdin. If neither works, as with a terminal, the goroutine that reads stays until the
// read returns, usually until the process ends. A caller who passes the process's own
// stdout should ignore SIGPIPE, or the runtime ends the process first.
func ServeStdio(ctx context.Context, cfg StdioConfig, stdin io.Reader, stdout io.Writer) error {
	cfg.Config = cfg.withDefaults()
	s := newSession(ctx, cfg.Config, Stdio)
	ctx = s.life
	s.open()
	defer s.close()
	defer context.AfterFunc(ctx, s.out.close)()
	t := &stdio{cfg: cfg, session: s, calls: semaphore.NewWeighted(maxCalls), waits: semaphore.NewWeighted(maxWaits), bytes: semaphore.NewWeighted(maxCallBytes)}
	out := startWriter(s, stdout)
	in := startReader(ctx, stdin, cfg.MaxMessage)

	ended := t.loop(ctx, in.inputs)
	if ended {
		s.calls.cancelAll(true)
		t.wait(ctx, cmp.Or(cfg.EOFGrace, 5*time.Second))
		s.calls.cancelAll(false)
	}
	t.wait(context.Background(), stopGrace) // for cancelled calls to end
	if n := t.running.Load(); n > 0 {
		cfg.Log.Warn("calls did not end when they were cancelled", "calls", n)
	}
	if ended {
		close(out.last)
		_ = out.wait(ctx, stopGrace)
	}
	s.end()
	failed := out.wait(context.Background(), writeGrace)
	if ended || unblock(stdin) {
		<-in.ended
	}
	if failed != nil && !isClosed(failed) {
		return fmt.Errorf("serve stdio: write: %w", failed)
	}
	if ended && in.err != nil && in.err != io.EOF && !isClosed(in.err) {
		return fmt.Errorf("serve stdio: read: %w", in.err)
	}
	return nil
}

// brokenPipe are the errors of a write to a pipe that nobody reads any more.
var brokenPipe = func() []error {
	if runtime.GOOS == "windows" {
		// ERROR_BROKEN_PIPE, ERROR_NO_DATA and ERROR_PIPE_NOT_CONNECTED
		return []error{syscall.Errno(109), syscall.Errno(232), syscall.Errno(233)}
	}
	return []error{syscall.EPIPE}
}()

// isClosed reports whether an error only says that the other end has gone.
func isClosed(err error) bool {
	return slices.ContainsFunc(brokenPipe, func(e error) bool { return errors.Is(err, e) }) ||
		errors.Is(err, io.ErrClosedPipe) || errors.Is(err, os.ErrClosed)
}

// loop serves messages until stdin ends (true) or ctx ends (false).
func (t *stdio) loop(ctx context.Context, inputs <-chan input) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case in, ok := <-inputs:
			if !ok {
				return ctx.Err() == nil // the reader ends with ctx as well
			}
			t.serve(ctx, in)
		}
	}
}

// wait waits until no call runs, ctx ends, or the grace is over.
func (t *stdio) wait(ctx context.Context, grace time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if t.calls.Acquire(ctx, maxCalls) != nil {
		return
	}
	defer t.calls.Release(maxCalls)
	if t.waits.Acquire(ctx, maxWaits) == nil { // no call that works can begin to wait now
		t.waits.Release(maxWaits)
	}
}

// start waits until a call may run, and runs it unless ctx ends first.
func (t *stdio) start(ctx context.Context, c *Call) {
	size := int64(min(c.Size, maxCallBytes))
	// The place of a call is taken last: at the end of the session, wait waits for all of them.
	if t.bytes.Acquire(ctx, size) != nil || t.calls.Acquire(ctx, 1) != nil {
		t.session.calls.remove(c)
		c.cancel()
		return
	}
	t.running.Add(1)
	c.slot = &slot{
		toWaits: func() bool {
			room := t.waits.TryAcquire(1)
			if room {
				t.calls.Release(1)
			}
			return room
		},
		free: func(waits bool) {
			if waits {
				t.waits.Release(1)
			} else {
				t.calls.Release(1)
			}
		},
	}
	c.done = func() {
		if t.running.Add(-1) == 0 && c.large {
			memory.Release()
		}
		t.bytes.Release(size)
		c.slot.end()
	}
	go c.run()
}

// serve deals with one line.
func (t *stdio) serve(ctx context.Context, in input) {
	if in.tooLong {
		t.refuse(&Error{
			Code:    mcp.INVALID_REQUEST,
			Message: "Invalid request: the message is longer than " + describeBytes(t.cfg.MaxMessage),
			id:      findID(withoutMark(in.head), in.tail),
		})
		return
	}
	if blank(in.line) {
		return
	}
	m, fault := parse(in.line)
	switch {
	case fault != nil:
		t.refuse(fault)
	case m.isRequest():
		t.requested(ctx, m)
	default:
		t.session.receive(ctx, m)
	}
}

func (t *stdio) refuse(e *Error) { t.session.out.put(outMessage{text: encodeError(e)}) }

// requested serves a request. initialize and ping are answered before the next message
// is read, since later messages depend on the handshake. Other requests get a goroutine.
func (t *stdio) requested(ctx context.Context, m *message) {
	first := m.name == string(mcp.MethodInitialize) || m.name == string(mcp.MethodPing)
	if !first && !t.session.Initialized() && !m.modern() {
		t.refuse(invalidRequest(m.id, "Invalid request: the first request must be initialize"))
		return
	}
	c := t.session.newCall(ctx, m, nil, t.session.out)
	if !t.session.calls.add(c) {
		c.cancel()
		t.refuse(invalidRequest(m.id, "Invalid request: a request with this id is still running"))
		return
	}
	if first {
		c.run()
		return
	}
	t.start(ctx, c)
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

// writing is a goroutine that writes the messages of a session. A client that reads
// nothing can't hold up the end of anything else.
type writing struct {
	last  chan struct{} // to be closed when no message is added any more
	ended chan struct{}
	err   error // of a write; valid once ended is closed
}

// startWriter writes the messages of a session's outbox, each in one Write, until the
// session ends, a write fails, or all is written after last was closed.
func startWriter(s *Session, stdout io.Writer) *writing {
	w := &writing{last: make(chan struct{}), ended: make(chan struct{})}
	broadcasts, _ := s.openStream(1)
	go func() {
		defer close(w.ended)
		defer s.closeStream()
		if w.err = writeLines(s, stdout, broadcasts, w.last); w.err != nil {
			s.end()
		}
	}()
	return w
}

// wait waits until the goroutine has ended, and gives its error. It returns nil if ctx or
// the grace ends first.
func (w *writing) wait(ctx context.Context, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	select {
	case <-w.ended:
		return w.err
	case <-ctx.Done():
		return nil
	}
}

func writeLines(s *Session, stdout io.Writer, broadcasts <-chan mcp.JSONRPCNotification, last <-chan struct{}) (err error) {
	next := func() (more bool) {
		m, more := s.out.take()
		if more {
			_, err = stdout.Write(m.text)
			m.done(err == nil)
		}
		return more && err == nil
	}
	for err == nil {
		select {
		case <-s.life.Done():
			return nil
		case <-s.out.ready:
			next()
		case n := <-broadcasts:
			_, err = stdout.Write(encodeNotification(n))
		case <-last:
			for next() {
			}
			return err
		}
	}
	return err
}
