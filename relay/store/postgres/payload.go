package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"kubbi-mcp/internal/spool"
	"kubbi-mcp/relay/store"
)

// pieceSize is how much of a payload is in memory at once while it is created, and in
// one row of chunks.
const pieceSize = 1 << 20

// pieceReader reads a payload piece by piece.
type pieceReader struct {
	from  io.Reader
	buf   []byte
	ahead bool // the last byte of buf belongs to the next piece
	eof   bool
}

// next reads the next piece, of pieceSize unless the payload ends with it. It is
// valid until the next call. guess is its probable length.
func (r *pieceReader) next(guess int64) ([]byte, error) {
	const most = pieceSize + 1 // a byte more tells whether the payload has ended
	switch {
	case r.ahead:
		r.buf[0] = r.buf[pieceSize]
		r.buf = r.buf[:1]
	case r.buf == nil:
		r.buf = make([]byte, 0, min(max(guess, 512), most))
	}
	for idle := 0; !r.eof && len(r.buf) < most; {
		if len(r.buf) == cap(r.buf) {
			grown := make([]byte, len(r.buf), min(4*cap(r.buf), most))
			copy(grown, r.buf)
			r.buf = grown
		}
		n, err := r.from.Read(r.buf[len(r.buf):cap(r.buf)])
		r.buf = r.buf[:len(r.buf)+n]
		switch {
		case err == io.EOF:
			r.eof = true
		case err != nil:
			return nil, err
		case n > 0:
			idle = 0
		default:
			if idle++; idle == 100 {
				return nil, io.ErrNoProgress
			}
		}
	}
	if r.ahead = len(r.buf) == most; r.ahead {
		return r.buf[:pieceSize], nil
	}
	return r.buf, nil
}

// ended reports whether there is no next piece.
func (r *pieceReader) ended() bool { return r.eof && !r.ahead }

// maxInMemory is how much of a claimed payload is in memory, in bytes.
const maxInMemory = 4 << 20

// claimedPayload is the payload that a claim has read completely, since it may be wiped
// by now. A reader does not get it straight from the data base: a slow reader would
// occupy a connection, and keep vacuum from removing what was wiped since. The part
// above maxInMemory is in an encrypted temporary file, of which nothing is left when
// the claim has ended. One goroutine reads, another may close it meanwhile.
type claimedPayload struct {
	dir string // for the temporary file; "": the system's

	mu      sync.Mutex
	pieces  [][]byte // the part in memory
	held    int      // bytes of it
	file    *spool.Spool
	written int64           // bytes in file
	read    int64           // bytes of file that are read
	n       int             // pieces added
	ended   error           // why it can't be read any more
	ctx     context.Context // that it ends with
	stop    func() bool     // nil: there is no file
}

var errPayloadClosed = errors.New("payload is closed")

// add appends a copy of a piece. Its errors are store.ErrUnavailable.
func (p *claimedPayload) add(piece []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	if p.file == nil && p.held+len(piece) <= maxInMemory {
		p.held += len(piece)
		p.pieces = append(p.pieces, append([]byte{}, piece...))
		return nil
	}
	var err error
	if p.file == nil {
		p.file, err = spool.New(p.dir)
	}
	if err == nil {
		var n int
		n, err = p.file.Write(piece)
		p.written += int64(n)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return nil
}

// reset makes it empty.
func (p *claimedPayload) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free()
	p.held, p.written, p.read, p.n = 0, 0, 0, 0
}

func (p *claimedPayload) free() {
	if p.file != nil {
		_ = p.file.Close() // it has no name
		p.file = nil
	}
	p.pieces = nil
}

// until makes it end with a context.
func (p *claimedPayload) until(ctx context.Context) {
	p.ctx = ctx
	if p.file != nil {
		p.stop = context.AfterFunc(ctx, func() { p.end(ctx.Err()) })
	}
}

func (p *claimedPayload) end(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil {
		p.ended = why
	}
	p.free()
}

// Read implements io.Reader.
func (p *claimedPayload) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil {
		p.ended = p.ctx.Err()
	}
	if p.ended != nil {
		return 0, p.ended
	}
	for len(p.pieces) > 0 {
		n := copy(b, p.pieces[0])
		if p.pieces[0] = p.pieces[0][n:]; len(p.pieces[0]) == 0 {
			p.pieces[0] = nil // frees it
			p.pieces = p.pieces[1:]
		}
		if n > 0 || len(b) == 0 {
			return n, nil
		}
	}
	if p.read == p.written {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), p.written-p.read)]
	n, err := p.file.ReadAt(b, p.read)
	p.read += int64(n)
	if n == len(b) {
		return n, nil
	}
	return n, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}

// Close frees the payload.
func (p *claimedPayload) Close() error {
	if p.stop != nil {
		p.stop()
	}
	p.end(errPayloadClosed)
	return nil
}
