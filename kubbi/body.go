package kubbi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
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

// What may be wrong with an answer's body.
var (
	errTooLarge = errors.New("the answer is larger than the limit")
	errCutShort = errors.New("the answer was cut short")
	errEmpty    = errors.New("the answer is empty")
	errNotJSON  = errors.New("the answer is not JSON of the kind this API gives")
)

// readBody reads the whole body, into a buffer of the right size where the
// length is known.
func readBody(resp *http.Response, limit int64, w *watch) ([]byte, error) {
	if resp.ContentLength > limit {
		return nil, fmt.Errorf("%w of %d bytes", errTooLarge, limit)
	}
	body := watchedReader{resp.Body, w}
	if n := resp.ContentLength; n >= 0 {
		b := make([]byte, n)
		if _, err := io.ReadFull(body, b); err != nil {
			return nil, fmt.Errorf("%w: %w", errCutShort, quiet(err))
		}
		_, _ = body.Read(make([]byte, 1)) // the end itself, so that the connection can be used again
		return b, nil
	}
	b, err := io.ReadAll(io.LimitReader(body, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errCutShort, quiet(err))
	case int64(len(b)) > limit:
		return nil, fmt.Errorf("%w of %d bytes", errTooLarge, limit)
	}
	return b, nil
}

type watchedReader struct {
	r io.Reader
	w *watch
}

func (r watchedReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.w.moved(n)
	return n, err
}

// rawCopy is up to which size a raw JSON value is copied out of an answer; a
// larger one is a part of it.
const rawCopy = 4 << 10

// decode reads an answer. Its errors are errEmpty, errCutShort and errNotJSON,
// and say nothing of the body. An object in a payload may name a member twice: a claim
// that has been counted must not fail on it.
func decode(body []byte, v any) error {
	if len(body) == 0 {
		return errEmpty
	}
	raw := jsonv2.UnmarshalFromFunc(func(dec *jsontext.Decoder, v *json.RawMessage) error {
		val, err := dec.ReadValue()
		switch {
		case err != nil:
			return err
		case val.Kind() == 'n' && dec.StackPointer().LastToken() == "metadata":
			*v = nil // as absent as it can be; a content of null is a value
		case len(val) <= rawCopy:
			*v = append(json.RawMessage(nil), val...)
		default:
			end := dec.InputOffset()
			*v = json.RawMessage(body[end-int64(len(val)) : end : end])
		}
		return nil
	})
	err := jsonv2.Unmarshal(body, v, jsontext.AllowDuplicateNames(true), jsonv2.WithUnmarshalers(raw))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errCutShort
	default:
		return errNotJSON
	}
}
