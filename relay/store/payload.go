package store

import (
	"context"
	"io"
	"os"
	"sync/atomic"
)

// payload is the payload of a claim. One goroutine reads it, and another may close it at the
// same time.
type payload struct {
	ctx    context.Context
	rest   []byte
	file   io.ReadCloser // nil: the payload is in rest
	stop   func() bool   // cancels the closing of file at the end of ctx
	closed atomic.Bool
}

// NewPayload makes a Claimed.Payload from a file or, if file is nil, from the bytes sealed.
// When the context ends, reads fail and the file is closed.
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
			err = p.err() // why the file was closed
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

// WriteTo implements io.WriterTo, so that the system can copy a file by itself.
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
