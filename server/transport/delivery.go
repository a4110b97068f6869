package transport

import "sync"

// Delivery says whether the answer to a call, or the result of its task, was written to
// the client. Its zero value is ready to use.
type Delivery struct {
	mu      sync.Mutex
	waiting []func(written bool)
	settled bool // it is known whether it was written
	written bool
}

// OnWritten calls a function when it is known whether the answer was written: at once if
// it is known already.
func (d *Delivery) OnWritten(then func(written bool)) {
	d.mu.Lock()
	if !d.settled {
		d.waiting = append(d.waiting, then)
		d.mu.Unlock()
		return
	}
	d.mu.Unlock()
	then(d.written)
}

// Settle says whether the answer was written. Only the first call counts.
func (d *Delivery) Settle(written bool) {
	d.mu.Lock()
	if d.settled {
		d.mu.Unlock()
		return
	}
	waiting := d.waiting
	d.settled, d.written, d.waiting = true, written, nil
	d.mu.Unlock()
	for _, then := range waiting {
		then(written)
	}
}
