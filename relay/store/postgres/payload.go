package postgres

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"kubbi-mcp/internal/spool"
	"kubbi-mcp/relay/store"
)

// pieceSize is how many bytes of a large payload are in one row of chunks.
const pieceSize = 1 << 20

// readPayload reads the payload of a create to its end. If the payload does not fit into the
// row, it returns a spool.
func readPayload(ctx context.Context, payload io.Reader, size int64, dir string) (inRow []byte, large *spool.Spool, err error) {
	const sealing = 1 << 10 // more than sealing adds to a small payload
	var first bytes.Buffer
	first.Grow(int(min(max(0, size)+sealing, store.MaxInRow)) + bytes.MinRead)
	if _, err := first.ReadFrom(io.LimitReader(payload, store.MaxInRow+1)); err != nil {
		return nil, nil, err
	}
	if first.Len() <= store.MaxInRow {
		return first.Bytes(), nil, nil
	}
	if large, err = spool.New(dir); err != nil {
		return nil, nil, unavailable(err)
	}
	if _, err = io.Copy(spoolWriter{ctx, large}, io.MultiReader(&first, payload)); err != nil {
		_ = large.Close()
		return nil, nil, err
	}
	return nil, large, nil
}

// spoolWriter writes to a spool. It fails when its context has ended.
type spoolWriter struct {
	ctx context.Context
	*spool.Spool
}

func (w spoolWriter) Write(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.Spool.Write(b)
	return n, unavailable(err)
}

// spoolReader reads a spool. Close closes the spool.
type spoolReader struct {
	*io.SectionReader
	*spool.Spool
}

func newSpoolReader(s *spool.Spool) spoolReader {
	return spoolReader{io.NewSectionReader(s, 0, s.Len()), s}
}

func (r spoolReader) Read(b []byte) (int, error) {
	n, err := r.SectionReader.Read(b)
	if err != io.EOF {
		err = unavailable(err)
	}
	return n, err
}

func (r spoolReader) Close() error { return r.Spool.Close() }

// unavailable wraps an error with store.ErrUnavailable. It returns nil for nil.
func unavailable(err error) error {
	if err != nil {
		err = fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return err
}
