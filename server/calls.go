package server

import (
	"context"
	"sync"
	"time"
)

// Bounds of what runs at once on one transport. Beyond them the reader waits.
const (
	maxCalls     = 64
	maxCallBytes = 2 * DefaultMaxMessageBytes // of the messages of running calls; a single one may be larger
)

// call is a request under way.
type call struct {
	id       string // raw
	size     int
	came     time.Time       // when its message was read
	listens  bool            // never ends by itself
	large    bool            // it, or its answer; set when it has ended
	ctx      context.Context // of this call alone
	cancel   context.CancelFunc
	unwanted bool // cancelled by the client, who wants no answer then
}

// calls are the requests under way, by their raw id.
type calls struct {
	mu   sync.Mutex
	byID map[string]*call
}

// add registers a call before it starts, so that no cancellation can miss it.
// It reports whether the id was free.
func (c *calls) add(k *call) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID[k.id] != nil {
		return false
	}
	if c.byID == nil {
		c.byID = make(map[string]*call)
	}
	c.byID[k.id] = k
	return true
}

// remove takes a call out before its answer is written, since the client may
// use the id again as soon as it has the answer. It reports whether the client
// still wants one.
func (c *calls) remove(k *call) (wanted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byID, k.id)
	return !k.unwanted
}

// cancel ends the calls that match says.
func (c *calls) cancel(match func(*call) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.byID {
		if match(k) {
			k.cancel()
		}
	}
}
