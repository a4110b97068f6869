package kubbi

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// stallTimer ends an attempt that stalls.
type stallTimer struct {
	ctx   context.Context // of the attempt
	timer *time.Timer
	after time.Duration
	bytes atomic.Int64
	end   context.CancelCauseFunc
}

// step is how many bytes count as progress. So a server that sends a byte now and then
// can't keep a call open for ever.
const step = 1 << 20

func newStallTimer(ctx context.Context, after time.Duration) (context.Context, *stallTimer) {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &stallTimer{ctx: ctx, after: after, end: cancel}
	s.timer = time.AfterFunc(after, func() { cancel(stalled(after)) })
	return ctx, s
}

func (s *stallTimer) moved(n int) {
	total := s.bytes.Add(int64(n))
	if total/step != (total-int64(n))/step {
		s.timer.Reset(s.after)
	}
}

func (s *stallTimer) stop() {
	s.timer.Stop()
	s.end(nil)
}

// stalled is the error for an attempt that a stallTimer has ended.
type stalled time.Duration

func (s stalled) Error() string { return fmt.Sprintf("no answer within %v", time.Duration(s)) }

// Is makes stalled match context.DeadlineExceeded.
func (s stalled) Is(target error) bool { return target == context.DeadlineExceeded }
