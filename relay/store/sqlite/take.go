package sqlite

import (
	"context"
	"errors"
	"io"
	"slices"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/body"
)

// take reads the payload: into memory, or where it is too long into a file, which
// is durable then.
func (s *Store) take(ctx context.Context, c *creation, number int64, payload io.Reader) (_ *body.File, err error) {
	c.payload = slices.Grow(c.payload, 2<<10)
	for len(c.payload) <= store.MaxInRow {
		if len(c.payload) == cap(c.payload) {
			c.payload = slices.Grow(c.payload, min(len(c.payload), store.MaxInRow+1-len(c.payload))+1)
		}
		n, err := payload.Read(c.payload[len(c.payload):min(cap(c.payload), store.MaxInRow+1)])
		c.payload = c.payload[:len(c.payload)+n]
		if err == io.EOF {
			return nil, s.space.allow(int64(len(c.payload)))
		}
		if err != nil {
			return nil, err
		}
	}
	file, err := s.files.Create(number)
	if errors.Is(err, body.ErrTaken) {
		return nil, store.ErrExists
	}
	if err != nil {
		return nil, s.explainFile(err)
	}
	defer func() {
		if err != nil {
			_ = s.leaveFile(file, false)
		}
	}()
	w := &spaced{ctx: ctx, s: s, f: file}
	if _, err := w.Write(c.payload); err != nil {
		return nil, err
	}
	if _, err := io.CopyBuffer(onlyWriter{w}, onlyReader{payload}, c.payload[:cap(c.payload)]); err != nil {
		return nil, err
	}
	if err := file.Sync(); err != nil {
		return nil, s.explainFile(err)
	}
	c.payload = c.payload[:0]
	c.body = file.Size()
	return file, nil
}

// leaveFile ends the writing of a payload's file.
func (s *Store) leaveFile(f *body.File, keep bool) error {
	if keep {
		return f.Close()
	}
	if err := f.Discard(); err != nil {
		s.log.Warn("the file of a payload that was not stored is not removed; a sweep will try again", "error", err)
	}
	return nil
}

// spaced writes a payload's file while there is room beside the reserve.
type spaced struct {
	ctx context.Context
	s   *Store
	f   *body.File
}

func (w *spaced) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	if err := w.s.space.allow(int64(len(p))); err != nil {
		return 0, err
	}
	n, err := w.f.Write(p)
	return n, w.s.explainFile(err)
}

// The two keep io.CopyBuffer from going round the buffer.
type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
)
