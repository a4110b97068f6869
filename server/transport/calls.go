package transport

import "sync"

// calls are the running requests of a session, by their raw id.
type calls struct {
	mu   sync.Mutex
	byID map[string]*Call
}

// add registers a call before it starts, so that no cancellation can miss it. It
// reports whether the id was free.
func (c *calls) add(k *Call) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := string(k.ID)
	if c.byID[id] != nil {
		return false
	}
	if c.byID == nil {
		c.byID = make(map[string]*Call)
	}
	c.byID[id] = k
	return true
}

// isFree reports whether no call has an id.
func (c *calls) isFree(id []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byID[string(id)] == nil
}

// remove takes a call out. It reports whether the client still wants an answer.
func (c *calls) remove(k *Call) (wanted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID[string(k.ID)] == k { // another call may have the id
		delete(c.byID, string(k.ID))
	}
	return !k.unwanted
}

// cancel ends the call with an id. If it is unwanted, it gets no answer.
func (c *calls) cancel(id string, unwanted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.byID[id]; k != nil {
		k.unwanted = k.unwanted || unwanted
		k.cancel()
	}
}

// cancelAll cancels all calls, or only subscriptions/listen requests.
func (c *calls) cancelAll(onlyListens bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.byID {
		if !onlyListens || k.Listens() {
			k.cancel()
		}
	}
}
