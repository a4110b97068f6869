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

const (
	// pieceSize is how much of a payload is in one row of chunks, in bytes.
	pieceSize = 1 << 20
	// maxInMemory is how much of a payload is in memory, in bytes.
	maxInMemory = 4 << 20
)

// pieces is a large payload on its way to or from the data base. The part above
// maxInMemory is in an encrypted temporary file, of which nothing is left after free.
type pieces struct {
	dir string // for the temporary file; "": the system's

	n       int      // pieces added; all but the last have pieceSize
	memory  [][]byte // the first pieces
	held    int      // bytes in memory
	file    *spool.Spool
	written int64 // bytes in file
}

// add appends a copy of a piece. Its errors are store.ErrUnavailable.
func (p *pieces) add(piece []byte) (err error) {
	p.n++
	if p.file == nil && p.held+len(piece) <= maxInMemory {
		p.held += len(piece)
		p.memory = append(p.memory, append([]byte{}, piece...))
		return nil
	}
	if p.file == nil {
		p.file, err = spool.New(p.dir)
	}
	if err == nil {
		var n int
		n, err = p.file.Write(piece)
		p.written += int64(n)
	}
	return unavailable(err)
}

// piece returns a piece.
func (p *pieces) piece(i int) ([]byte, error) {
	if i < len(p.memory) {
		return p.memory[i], nil
	}
	from := int64(i-len(p.memory)) * pieceSize
	b := make([]byte, min(pieceSize, p.written-from))
	if n, err := p.file.ReadAt(b, from); n < len(b) {
		return nil, unavailable(err)
	}
	return b, nil
}

// free makes it empty.
func (p *pieces) free() {
	if p.file != nil {
		_ = p.file.Close() // it has no name
	}
	*p = pieces{dir: p.dir}
}

func unavailable(err error) error {
	if err != nil {
		err = fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return err
}

// claimedPayload is the payload that a claim has read completely, since it may be wiped
// by now. A reader does not get it straight from the data base: a slow reader would
// occupy a connection, and keep vacuum from removing what was wiped since. One
// goroutine reads, another may close it meanwhile.
type claimedPayload struct {
	mu sync.Mutex
	pieces
	read  int64           // bytes of file that are read
	ended error           // why it can't be read any more
	ctx   context.Context // that it ends with
	stop  func() bool     // nil: there is no file
}

var errPayloadClosed = errors.New("payload is closed")

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
	for len(p.memory) > 0 {
		n := copy(b, p.memory[0])
		if p.memory[0] = p.memory[0][n:]; len(p.memory[0]) == 0 {
			p.memory[0] = nil // frees it
			p.memory = p.memory[1:]
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
	return n, unavailable(err)
}

// Close frees the payload.
func (p *claimedPayload) Close() error {
	if p.stop != nil {
		p.stop()
	}
	p.end(errPayloadClosed)
	return nil
}
