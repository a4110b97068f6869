// Package payload is what the backends of a store do alike with payloads: check
// the order of the chunks of a new one, and keep those of a claimed one.
package payload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"kubbi-mcp/internal/spool"
	"kubbi-mcp/relay/store"
)

// MaxChunks is how many chunks a payload may have.
const MaxChunks = 1 << 20

// ErrNone says that a payload has no chunk.
var ErrNone = errors.New("payload has no chunk")

var (
	errOrder    = errors.New("payload's chunks are out of order")
	errTooLarge = fmt.Errorf("payload has a chunk of more than %d bytes", store.MaxChunk)
	errTooMany  = fmt.Errorf("payload has more than %d chunks", MaxChunks)
)

// Order checks that chunks come as store.Chunk says. Its zero value waits for
// the first.
type Order struct{ chunks, part, index int }

// Next takes the next chunk, or says what is wrong with it.
func (o *Order) Next(c store.Chunk) error {
	switch {
	case len(c.Sealed) > store.MaxChunk:
		return errTooLarge
	case o.chunks == MaxChunks:
		return errTooMany
	case c.Part == o.part && c.Index == o.index:
	case o.chunks > 0 && c.Part == o.part+1 && c.Index == 0:
	default:
		return errOrder
	}
	*o = Order{o.chunks + 1, c.Part, c.Index + 1}
	return nil
}

// Len is how many chunks there were.
func (o *Order) Len() int { return o.chunks }

// maxHeld is how much of a payload is held in memory, bytes.
const maxHeld = 4 << 20

// Kept is a payload that a claim has read from the store, which may have wiped
// it. What is above 4 MiB goes to a spool, encrypted once more, so that nothing
// is left of it when the claim has ended. One goroutine adds, another may close
// it meanwhile.
type Kept struct {
	Dir string // a folder for the spool; "": the system's for temporary files

	mu     sync.Mutex
	chunks []store.Chunk // the last ones, of a large payload, without their bytes, which spool has
	held   int           // bytes in chunks
	sizes  []int         // of the chunks in spool
	spool  *spool.Spool  // nil: none is needed
	closed bool
}

// Add keeps a chunk: a copy of sealed. An error is store.ErrUnavailable.
func (k *Kept) Add(part, index int, sealed []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := store.Chunk{Part: part, Index: index}
	if held := k.held + len(sealed); held <= maxHeld && k.sizes == nil {
		k.held = held
		c.Sealed = append([]byte{}, sealed...)
	} else if err := k.write(sealed); err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	k.chunks = append(k.chunks, c)
	return nil
}

func (k *Kept) write(sealed []byte) (err error) {
	if k.closed {
		return context.Canceled
	}
	if k.spool == nil {
		if k.spool, err = spool.New(k.Dir); err != nil {
			return err
		}
	}
	k.sizes = append(k.sizes, len(sealed))
	_, err = k.spool.Write(sealed)
	return err
}

// Len is how many chunks are kept.
func (k *Kept) Len() int { return len(k.chunks) }

// Reset forgets what is kept, to begin anew.
func (k *Kept) Reset() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drop()
	k.spool, k.chunks, k.sizes, k.held = nil, nil, nil, 0
}

// Close frees what is kept: nobody waits for it any more.
func (k *Kept) Close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	k.drop()
}

func (k *Kept) drop() {
	if k.spool != nil {
		_ = k.spool.Close() // a file without a name
	}
}

// CloseAfter closes it when ctx ends, if that frees more than memory.
func (k *Kept) CloseAfter(ctx context.Context) {
	if k.spool != nil {
		context.AfterFunc(ctx, k.Close)
	}
}

// All is the payload, as store.Chunks, once all is added. It closes k at its end.
func (k *Kept) All(yield func(store.Chunk, error) bool) {
	defer k.Close()
	var buf []byte
	var at int64
	inMemory := len(k.chunks) - len(k.sizes)
	for i, chunk := range k.chunks {
		k.chunks[i].Sealed = nil // a large payload is freed as it is read
		if i >= inMemory {
			size := k.sizes[i-inMemory]
			buf = slices.Grow(buf[:0], size)[:size]
			if _, err := k.spool.ReadAt(buf, at); err != nil {
				yield(store.Chunk{}, fmt.Errorf("%w: %w", store.ErrUnavailable, err))
				return
			}
			chunk.Sealed = buf
			at += int64(size)
		}
		if !yield(chunk, nil) {
			return
		}
	}
}
