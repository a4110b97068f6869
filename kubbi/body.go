package kubbi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// payload is a request's body in pieces. So a large content is not copied between its
// neighbours, and a source is read only while it is sent.
type payload []piece

// piece is a part of a body: bytes or a content.
type piece struct {
	bytes   []byte
	content *outgoing
	raw     bool // the content goes unchanged, else as JSON has it
}

// size is the body's length in bytes; -1: not known before it was read.
func (p payload) size() (n int64) {
	for _, part := range p {
		n += int64(len(part.bytes))
		if part.content == nil {
			continue
		}
		size := part.content.Size
		if !part.raw {
			size = part.content.wireSize()
		}
		if size < 0 {
			return -1
		}
		n += size
	}
	return n
}

// weight is what a Progress counts to: the bytes that are read to make the body.
func (p payload) weight() (n int64) {
	for _, part := range p {
		n += int64(len(part.bytes))
		if part.content != nil {
			n += part.content.Size
		}
	}
	return n
}

// sending is a payload in one attempt. A transport may still read after it has returned;
// stop ends that, so that nothing reads the caller's content when the call has returned.
type sending struct {
	mu      sync.Mutex
	parts   payload
	stopped bool
	readers []*sendingReader
	fault   *Error // of a source
	watch   *watch
	report  Progress // nil: nobody asks
}

func (s *sending) reader() io.ReadCloser {
	r := &sendingReader{s: s, body: s.parts.open()}
	s.mu.Lock()
	s.readers = append(s.readers, r)
	s.mu.Unlock()
	return r
}

// stop ends all reading. It gives the fault of a source, if that ended the attempt.
func (s *sending) stop() *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	for _, r := range s.readers {
		r.body.Close()
	}
	s.readers = nil
	return s.fault
}

type sendingReader struct {
	s    *sending
	body *payloadReader
}

func (r *sendingReader) Read(p []byte) (int, error) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if r.s.stopped {
		return 0, errors.New("the attempt has ended")
	}
	n, err := r.body.Read(p)
	if err != nil {
		errors.As(err, &r.s.fault)
		return 0, err
	}
	r.s.watch.moved(n)
	if r.s.report != nil {
		r.s.report(r.body.read(), r.s.parts.weight())
	}
	return n, nil
}

func (r *sendingReader) Close() error {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	return r.body.Close()
}

// payloadReader reads a payload once. Its errors are io.EOF, and an *Error for the fault
// of a source.
type payloadReader struct {
	rest   payload
	source *contentReader // of rest[0]; nil: not begun, or bytes
	done   int64          // of the pieces before it
}

// open gives a reader of the whole payload.
func (p payload) open() *payloadReader { return &payloadReader{rest: slices.Clone(p)} }

// read is how much was read, as weight counts it.
func (r *payloadReader) read() int64 {
	if r.source != nil {
		return r.done + r.source.done
	}
	return r.done
}

// Read implements io.Reader.
func (r *payloadReader) Read(p []byte) (int, error) {
	for ; len(r.rest) > 0; r.rest = r.rest[1:] {
		at := &r.rest[0]
		if at.content == nil {
			if n := copy(p, at.bytes); n > 0 {
				at.bytes = at.bytes[n:]
				r.done += int64(n)
				return n, nil
			}
			continue
		}
		if r.source == nil {
			r.source = &contentReader{o: at.content, raw: at.raw}
		}
		n, err := r.source.Read(p)
		if err == nil {
			return n, nil
		}
		if err != io.EOF {
			if fault := (*Error)(nil); !errors.As(err, &fault) {
				err = at.content.failed(err)
			}
			return 0, err
		}
		r.done += r.source.done
		r.source = nil
	}
	return 0, io.EOF
}

// Close closes the source that is being read.
func (r *payloadReader) Close() error {
	if r.source != nil {
		r.source.close()
	}
	return nil
}

// watch ends an attempt that stalls.
type watch struct {
	ctx   context.Context // of the attempt
	timer *time.Timer
	after time.Duration
	bytes atomic.Int64
	end   context.CancelCauseFunc
}

// step is how many bytes count as progress, so that a server that sends a byte now and
// then does not hold a call for ever.
const step = 1 << 20

func newWatch(ctx context.Context, after time.Duration) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{ctx: ctx, after: after, end: cancel}
	w.timer = time.AfterFunc(after, func() { cancel(stalled(after)) })
	return ctx, w
}

func (w *watch) moved(n int) {
	total := w.bytes.Add(int64(n))
	if total/step != (total-int64(n))/step {
		w.timer.Reset(w.after)
	}
}

func (w *watch) stop() {
	w.timer.Stop()
	w.end(nil)
}

// stalled is why a watch has ended an attempt.
type stalled time.Duration

func (s stalled) Error() string { return fmt.Sprintf("no answer within %v", time.Duration(s)) }

// Is makes stalled a deadline like any other.
func (s stalled) Is(target error) bool { return target == context.DeadlineExceeded }
