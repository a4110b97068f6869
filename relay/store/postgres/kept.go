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

// maxHeld is how much of a claimed payload is held in memory, bytes.
const maxHeld = 4 << 20

// kept is a payload that a claim has read, which may be wiped by now. It is not
// read from the data base bit by bit: a slow reader would keep a connection, and
// vacuum from what was wiped since. What is above 4 MiB goes to a spool,
// encrypted once more, so that nothing is left of it when the claim has ended.
// One goroutine reads, another may close it meanwhile.
type kept struct {
	dir string // a folder for the spool; "": the system's for temporary files

	mu     sync.Mutex
	pieces [][]byte // the first ones
	held   int      // bytes of them
	spool  *spool.Spool
	past   int64           // bytes in spool
	read   int64           // bytes of spool that are read
	n      int             // pieces added
	ended  error           // why it can't be read any more
	ctx    context.Context // that it ends with
	unwait func() bool     // nil: there is no spool to free
}

var errPayloadClosed = errors.New("payload is closed")

// add keeps a piece: a copy of it. An error is store.ErrUnavailable.
func (k *kept) add(piece []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.n++
	if k.spool == nil && k.held+len(piece) <= maxHeld {
		k.held += len(piece)
		k.pieces = append(k.pieces, append([]byte{}, piece...))
		return nil
	}
	if err := k.write(piece); err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return nil
}

func (k *kept) write(piece []byte) (err error) {
	if k.spool == nil {
		if k.spool, err = spool.New(k.dir); err != nil {
			return err
		}
	}
	n, err := k.spool.Write(piece)
	k.past += int64(n)
	return err
}

// reset forgets what is kept, to begin anew.
func (k *kept) reset() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drop()
	k.held, k.past, k.read, k.n = 0, 0, 0, 0
}

func (k *kept) drop() {
	if k.spool != nil {
		_ = k.spool.Close() // a file without a name
		k.spool = nil
	}
	k.pieces = nil
}

// until makes it end with a context.
func (k *kept) until(ctx context.Context) {
	k.ctx = ctx
	if k.spool != nil {
		k.unwait = context.AfterFunc(ctx, func() { k.end(ctx.Err()) })
	}
}

func (k *kept) end(why error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ended == nil {
		k.ended = why
	}
	k.drop()
}

// Read implements io.Reader.
func (k *kept) Read(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ended == nil {
		k.ended = k.ctx.Err()
	}
	if k.ended != nil {
		return 0, k.ended
	}
	for len(k.pieces) > 0 {
		n := copy(p, k.pieces[0])
		if k.pieces[0] = k.pieces[0][n:]; len(k.pieces[0]) == 0 {
			k.pieces[0] = nil // freed as it is read
			k.pieces = k.pieces[1:]
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
	if k.read == k.past {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), k.past-k.read)]
	n, err := k.spool.ReadAt(p, k.read)
	k.read += int64(n)
	if n == len(p) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return n, err
}

// Close frees it.
func (k *kept) Close() error {
	if k.unwait != nil {
		k.unwait()
	}
	k.end(errPayloadClosed)
	return nil
}
