package server

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"
)

// outbox holds the resources of which a client must still be told that they
// have changed, until a stream of it takes the word. A resource that changes
// twice meanwhile is told of once.
type outbox struct {
	mu      sync.Mutex
	closed  bool
	waiting []string // URIs
	streams map[string]chan<- mcp.JSONRPCNotification
	again   *time.Timer // another try, while a stream is full; nil: none

	listen jsontext.Value // the id of the request for whose stream alone it is; nil: it is a session's
	itself subscriber
}

// subscriber gives the outbox as one who subscribes.
func (o *outbox) subscriber() *subscriber {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.itself.send == nil {
		o.itself.send = o.send
	}
	return &o.itself
}

// maxWaiting is how many resources may wait; the oldest go first.
const maxWaiting = 1000

// send tells of a changed resource, now or when there is a stream. It does not
// block.
func (o *outbox) send(uri string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	for _, w := range o.waiting {
		if w == uri {
			return
		}
	}
	if len(o.waiting) >= maxWaiting {
		o.waiting = o.waiting[1:]
	}
	o.waiting = append(o.waiting, uri)
	o.flush()
}

// attach adds a stream, which takes what is waiting.
func (o *outbox) attach(id string, to chan<- mcp.JSONRPCNotification) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.streams == nil {
		o.streams = map[string]chan<- mcp.JSONRPCNotification{}
	}
	o.streams[id] = to
	o.flush()
}

func (o *outbox) detach(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.streams, id)
}

// retry sends what a full stream could not take before.
func (o *outbox) retry() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flush()
}

func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed, o.waiting, o.streams = true, nil, nil
	if o.again != nil {
		o.again.Stop()
	}
}

// fullFor is how long a full stream is given to take what is in it.
const fullFor = 100 * time.Millisecond

// flush gives what is waiting to whichever stream has room; if none has, it
// tries again later.
func (o *outbox) flush() {
	for len(o.waiting) > 0 && o.offer(resourceUpdated(o.waiting[0], o.listen)) {
		o.waiting = o.waiting[1:]
	}
	switch {
	case len(o.waiting) == 0 || len(o.streams) == 0:
	case o.again == nil:
		o.again = time.AfterFunc(fullFor, o.retry)
	default:
		o.again.Reset(fullFor)
	}
}

func (o *outbox) offer(n mcp.JSONRPCNotification) bool {
	for _, s := range o.streams {
		select {
		case s <- n:
			return true
		default:
		}
	}
	return false
}

func resourceUpdated(uri string, listen jsontext.Value) mcp.JSONRPCNotification {
	n := mcp.JSONRPCNotification{
		JSONRPC: mcp.JSONRPC_VERSION,
		Notification: mcp.Notification{
			Method: mcp.MethodNotificationResourceUpdated,
			Params: mcp.NotificationParams{AdditionalFields: map[string]any{"uri": uri}},
		},
	}
	if listen != nil {
		n.Params.Meta = map[string]any{mcp.MetaKeySubscriptionID: json.RawMessage(listen)}
	}
	return n
}
