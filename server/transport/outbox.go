package transport

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// Limits of an outbox, in bytes.
const (
	maxQueued  = 1 << 20   // of messages; a single one may be larger
	maxUpdates = 128 << 10 // of resource updates, about 1,000; the oldest are dropped
)

// outbox is an ordered queue of messages to one client. Each connection to the client
// takes messages from it.
type outbox struct {
	life  context.Context
	room  *semaphore.Weighted
	ready chan struct{} // holds an item while there may be a message to take

	mu      sync.Mutex
	closed  bool
	queue   []outMessage
	updates int // bytes of the updates in the queue
}

// outMessage is a message in an outbox.
type outMessage struct {
	text   []byte
	answer *Call  // the call that it answers; nil: it is no answer
	uri    string // the resource that has changed; "": it is no update
}

// newOutbox makes an outbox. put waits for room only until life ends. After that the
// outbox must be closed.
func newOutbox(life context.Context) *outbox {
	return &outbox{life: life, room: semaphore.NewWeighted(maxQueued), ready: make(chan struct{}, 1)}
}

// put adds a message, and waits until there is room for it. It reports false if
// the outbox is closed first.
func (o *outbox) put(m outMessage) bool {
	if o.room.Acquire(o.life, weight(m)) != nil {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return false
	}
	o.queue = append(o.queue, m)
	o.wake()
	return true
}

// update adds the message that a resource has changed, without waiting. A
// resource whose update is still in the queue gets no second one.
func (o *outbox) update(uri string, text []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	oldest := -1
	for i, m := range o.queue {
		if m.uri == uri {
			return
		}
		if m.uri != "" && oldest < 0 {
			oldest = i
		}
	}
	if o.updates += len(text); o.updates > maxUpdates && oldest >= 0 {
		o.updates -= len(o.queue[oldest].text)
		o.queue = append(o.queue[:oldest], o.queue[oldest+1:]...)
	}
	o.queue = append(o.queue, outMessage{text: text, uri: uri})
	o.wake()
}

// take removes and returns the next message.
func (o *outbox) take() (m outMessage, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) == 0 {
		return outMessage{}, false
	}
	m, o.queue[0] = o.queue[0], outMessage{}
	if o.queue = o.queue[1:]; len(o.queue) == 0 {
		o.queue = nil
	} else {
		o.wake()
	}
	if m.uri != "" {
		o.updates -= len(m.text)
	} else {
		o.room.Release(weight(m))
	}
	return m, true
}

// close drops the messages that are left. Answers among them count as lost.
func (o *outbox) close() {
	o.mu.Lock()
	o.closed = true
	left := o.queue
	o.queue = nil
	o.mu.Unlock()
	for _, m := range left {
		m.done(false)
	}
}

func (o *outbox) wake() {
	select {
	case o.ready <- struct{}{}:
	default:
	}
}

func weight(m outMessage) int64 { return int64(min(len(m.text), maxQueued)) }

// done notes whether the message was written to the client.
func (m outMessage) done(written bool) {
	if m.answer != nil {
		m.answer.settle(written)
	}
}
