package server

import (
	"context"
	"io"
	"sync/atomic"
	"time"
)

// lineWriter writes whole lines, each in one Write. A goroutine of its own does
// the writing, so that a client that reads nothing can't hold up the end of
// anything else.
type lineWriter struct {
	lines  chan outLine
	last   chan struct{} // closed when no more lines come
	ended  chan struct{} // closed when the goroutine has ended
	failed atomic.Pointer[error]
}

// outLine is a line to be written.
type outLine struct {
	text    []byte
	written chan<- bool // is told whether it was written, if not nil; has room
}

// startWriter starts a writer that ends with ctx, after finish, or when a write
// fails, which it reports to broken. Notifications go before a line that is
// handed over after them: those of a call before its answer.
func startWriter(ctx context.Context, w io.Writer, session *stdioSession, broken func()) *lineWriter {
	l := &lineWriter{lines: make(chan outLine), last: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(l.ended)
		var err error
		for err == nil {
			select {
			case line := <-l.lines:
				if err = session.writeNotifications(w); err == nil {
					_, err = w.Write(line.text)
				}
				if line.written != nil {
					line.written <- err == nil
				}
			case n := <-session.notifications:
				_, err = w.Write(encodeNotification(n))
			case <-l.last:
				if err = session.writeNotifications(w); err == nil {
					return
				}
			case <-ctx.Done():
				return
			}
		}
		l.failed.Store(&err)
		broken()
	}()
	return l
}

// write hands a line to the writer. It reports false, and the line is dropped,
// if that has ended or ctx ends first.
func (l *lineWriter) write(ctx context.Context, text []byte) bool {
	return l.hand(ctx, outLine{text: text})
}

// deliver is write, and waits until the line is written whole. What stands in a
// pipe was not read by the client yet; but what was not even written never is.
func (l *lineWriter) deliver(ctx context.Context, text []byte) bool {
	written := make(chan bool, 1)
	if !l.hand(ctx, outLine{text: text, written: written}) {
		return false
	}
	select {
	case ok := <-written:
		return ok
	case <-ctx.Done():
		return false
	}
}

func (l *lineWriter) hand(ctx context.Context, line outLine) bool {
	select {
	case l.lines <- line:
		return true
	case <-l.ended:
	case <-ctx.Done():
	}
	return false
}

// finish waits until everything handed over is written, or ctx ends.
func (l *lineWriter) finish(ctx context.Context) {
	close(l.last)
	select {
	case <-l.ended:
	case <-ctx.Done():
	}
}

// wait waits for the goroutine, which ends with its ctx unless a write is under
// way that the client does not take.
func (l *lineWriter) wait(grace time.Duration) {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-l.ended:
	case <-timer.C:
	}
}

// err is why writing has failed, nil if it has not.
func (l *lineWriter) err() error {
	if e := l.failed.Load(); e != nil {
		return *e
	}
	return nil
}
