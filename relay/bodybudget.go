package relay

import (
	"golang.org/x/sync/semaphore"

	"kubbi-mcp/kubbi/api"
)

const (
	maxBodies = 256 << 20 // bytes that create bodies in JSON may use at the same time
	maxPages  = 48 << 20  // bytes that claim pages with payloads may use at the same time
)

// budget bounds how much memory all requests of a relay use for payloads at the same
// time. A request that does not fit is refused and does not wait.
type budget struct {
	size int64 // bytes
	sem  *semaphore.Weighted
}

func newBudget(size int64) *budget { return &budget{size, semaphore.NewWeighted(size)} }

// reservation is what one request uses of a budget.
type reservation struct {
	budget *budget
	size   int64 // bytes
}

func (b *budget) reserve() *reservation { return &reservation{budget: b} }

// grow makes the reservation at least size bytes, or fails if they are not free.
func (r *reservation) grow(size int64) error {
	if size <= r.size {
		return nil
	}
	if !r.budget.sem.TryAcquire(size - r.size) {
		return fail(api.CodeUnavailable, "the relay holds as much of other requests as its memory allows; try again")
	}
	r.size = size
	return nil
}

// free ends the reservation.
func (r *reservation) free() {
	r.budget.sem.Release(r.size)
	r.size = 0
}
