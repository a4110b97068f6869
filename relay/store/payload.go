package store

import (
	"context"
	"io"
	"os"
	"sync/atomic"
)

// payload is the payload of a claim. One goroutine reads it, another may close it
// meanwhile.
type payload struct {
	ctx    context.Context
	rest   []byte
	file   io.ReadCloser // nil: the payload is in rest
	stop   func() bool   // of the call that closes file when ctx ends
	closed atomic.Bool
}

// NewPayload is Claimed.Payload: the bytes sealed or, if it is not nil, a file. It ends
// with the context, and then closes the file.
func NewPayload(ctx context.Context, sealed []byte, file io.ReadCloser) io.ReadCloser {
	p := &payload{ctx: ctx, rest: sealed, file: file}
	if file != nil {
		p.stop = context.AfterFunc(ctx, func() { file.Close() })
	}
	return p
}

func (p *payload) err() error {
	if p.closed.Load() {
		return os.ErrClosed
	}
	return p.ctx.Err()
}

// Read implements io.Reader.
func (p *payload) Read(b []byte) (n int, err error) {
	if err := p.err(); err != nil {
		return 0, err
	}
	if p.file != nil {
		if n, err = p.file.Read(b); err != nil && p.err() != nil {
			err = p.err() // the cause
		}
		return n, err
	}
	n = copy(b, p.rest)
	p.rest = p.rest[n:]
	if n == 0 && len(b) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// WriteTo lets the platform copy a file by itself.
func (p *payload) WriteTo(w io.Writer) (int64, error) {
	if err := p.err(); err != nil {
		return 0, err
	}
	if p.file != nil {
		return io.Copy(w, p.file)
	}
	n, err := w.Write(p.rest)
	p.rest = p.rest[n:]
	return int64(n), err
}

// Close frees the payload. Closing twice is no error.
func (p *payload) Close() error {
	if p.closed.Swap(true) || p.file == nil || !p.stop() {
		return nil
	}
	return p.file.Close()
}
