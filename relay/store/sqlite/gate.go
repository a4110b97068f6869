package sqlite

import (
	"context"
	"sync"
)

// bytesGate bounds the bytes that wait. A lone op always passes, however large.
type bytesGate struct {
	mu    sync.Mutex
	used  int64
	moved chan struct{} // closed and replaced when bytes leave while somebody waits
}

func (g *bytesGate) enter(ctx context.Context, n int64) error {
	if n == 0 {
		return nil
	}
	for {
		g.mu.Lock()
		if g.used == 0 || g.used+n <= maxQueuedBytes {
			g.used += n
			g.mu.Unlock()
			return nil
		}
		if g.moved == nil {
			g.moved = make(chan struct{})
		}
		moved := g.moved
		g.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (g *bytesGate) leave(n int64) {
	if n == 0 {
		return
	}
	g.mu.Lock()
	g.used -= n
	if g.moved != nil {
		close(g.moved)
		g.moved = nil
	}
	g.mu.Unlock()
}
