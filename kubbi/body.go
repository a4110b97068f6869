package kubbi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// payload is a request's body in pieces, so that a large content need not be
// copied to stand between its neighbours.
type payload [][]byte

func (p payload) size() (n int64) {
	for _, b := range p {
		n += int64(len(b))
	}
	return n
}

// sending is a payload under way in one attempt. A transport may go on reading
// after it has returned; stop puts an end to that, so that the caller has its
// content back for good when the call returns.
type sending struct {
	mu      sync.Mutex
	parts   payload
	stopped bool
	watch   *watch
	report  Progress // nil: nobody asks
}

func (s *sending) reader() io.ReadCloser {
	parts := make(payload, len(s.parts))
	copy(parts, s.parts)
	return &sendingReader{s: s, rest: parts}
}

func (s *sending) stop() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
}

type sendingReader struct {
	s    *sending
	rest payload
	done int64
}

func (r *sendingReader) Read(p []byte) (int, error) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if r.s.stopped {
		return 0, errors.New("the attempt has ended")
	}
	for len(r.rest) > 0 && len(r.rest[0]) == 0 {
		r.rest = r.rest[1:]
	}
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.rest[0])
	r.rest[0] = r.rest[0][n:]
	r.s.watch.moved(n)
	r.done += int64(n)
	if r.s.report != nil {
		r.s.report(r.done, r.s.parts.size())
	}
	return n, nil
}

func (r *sendingReader) Close() error { return nil }

// watch ends an attempt that stands still for a time.
type watch struct {
	timer *time.Timer
	after time.Duration
	bytes atomic.Int64
	end   context.CancelCauseFunc
}

// step is how many bytes count as progress. A server that sends one byte now
// and then does not hold a call for ever.
const step = 1 << 20

func newWatch(ctx context.Context, after time.Duration) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{after: after, end: cancel}
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

// stalled is the cause of an attempt that a watch has ended.
type stalled time.Duration

func (s stalled) Error() string { return fmt.Sprintf("no answer within %v", time.Duration(s)) }

// Is makes it a deadline like any other.
func (s stalled) Is(target error) bool { return target == context.DeadlineExceeded }
