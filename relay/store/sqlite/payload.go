package sqlite

import (
	"context"
	"errors"
	"io"
	"slices"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/body"
)

// readPayload reads the payload of a create into memory. If the payload is too long, it writes
// it to a file, which is durable when readPayload returns.
func (s *Store) readPayload(ctx context.Context, c *creation, payload io.Reader) (_ *body.File, err error) {
	c.payload = slices.Grow(c.payload, 2<<10)
	for len(c.payload) <= store.MaxInRow {
		if len(c.payload) == cap(c.payload) {
			c.payload = slices.Grow(c.payload, min(len(c.payload), store.MaxInRow+1-len(c.payload))+1)
		}
		n, err := payload.Read(c.payload[len(c.payload):min(cap(c.payload), store.MaxInRow+1)])
		c.payload = c.payload[:len(c.payload)+n]
		if err == io.EOF {
			return nil, s.reserve.allow(int64(len(c.payload)))
		}
		if err != nil {
			return nil, err
		}
	}
	file, err := s.createFile(ctx, int64(c.row.Number))
	if errors.Is(err, body.ErrExists) {
		// The op finds out whether it is a replay.
		c.hasFile = true
		_, err := io.Copy(io.Discard, payload)
		return nil, err
	}
	if err != nil {
		return nil, explain(s.path, err)
	}
	defer func() {
		if err != nil {
			_ = s.endFile(file, false)
		}
	}()
	w := &fileWriter{ctx: ctx, s: s, f: file}
	if _, err := w.Write(c.payload); err != nil {
		return nil, err
	}
	if _, err := io.CopyBuffer(w, payload, c.payload[:cap(c.payload)]); err != nil {
		return nil, err
	}
	if err := file.Sync(); err != nil {
		return nil, explain(s.path, err)
	}
	c.payload = c.payload[:0]
	c.row.body = file.Size()
	return file, nil
}

// createFile makes the file of a payload. It replaces the file of a create whose process has
// died. If another create has the file, the error is body.ErrExists.
func (s *Store) createFile(ctx context.Context, number int64) (*body.File, error) {
	file, err := s.files.Create(number)
	if !errors.Is(err, body.ErrExists) {
		return file, err
	}
	if removed, sweepErr := s.sweepFile(ctx, number); sweepErr != nil || !removed {
		return nil, errors.Join(err, sweepErr)
	}
	return s.files.Create(number)
}

// endFile ends the writing of a payload's file, and removes it unless it is kept.
func (s *Store) endFile(f *body.File, keep bool) error {
	if keep {
		return f.Close()
	}
	if err := f.Discard(); err != nil {
		s.log.Warn("the file of a payload that was not stored is not removed; a sweep will try again", "error", err)
	}
	return nil
}

// fileWriter writes a payload's file as long as the storage reserve allows it.
type fileWriter struct {
	ctx context.Context
	s   *Store
	f   *body.File
}

func (w *fileWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	if err := w.s.reserve.allow(int64(len(p))); err != nil {
		return 0, err
	}
	n, err := w.f.Write(p)
	return n, explain(w.s.path, err)
}
