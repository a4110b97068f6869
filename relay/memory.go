package relay

import (
	"golang.org/x/sync/semaphore"

	"kubbi-mcp/kubbi/api"
)

// DefaultMemory is Config.Memory where it is zero, in bytes.
const DefaultMemory = 256 << 20

// memory bounds what all requests of a relay hold of payloads at the same time, in
// bytes. Nobody waits for it.
type memory struct {
	size int64
	sem  *semaphore.Weighted
}

func newMemory(size int64) *memory { return &memory{size, semaphore.NewWeighted(size)} }

// share is what one request holds.
type share struct {
	of *memory
	n  int64
}

// grow takes what makes the share n bytes, or answers that there is no room.
func (s *share) grow(n int64) error {
	if n <= s.n {
		return nil
	}
	if !s.of.sem.TryAcquire(n - s.n) {
		return fail(api.CodeUnavailable, "the relay holds as much of other requests as its memory allows; try again")
	}
	s.n = n
	return nil
}

// free gives all of it back.
func (s *share) free() {
	s.of.sem.Release(s.n)
	s.n = 0
}
