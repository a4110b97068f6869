package transport

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/mark3labs/mcp-go/mcp"

	"kubbi-mcp/internal/memory"
)

// Call is a request under way. mcp-go takes it for the client's session. So what
// the call sends to the client goes to the same outbox as its answer, and before
// the answer.
type Call struct {
	*Session
	ID     jsontext.Value // as it came
	Method string
	Tool   string // that tools/call names
	Size   int    // of the message, in bytes
	Came   time.Time
	Header http.Header    // of the HTTP request; nil over stdio
	Meta   jsontext.Value // _meta of the params; nil: none
	Modern bool           // of a protocol version without sessions
	Bare   bool           // the params of a tool call have only name, arguments and _meta

	// Arguments are those of a tool call. mcp-go does not get them with the
	// message, which it decodes several times over.
	Arguments jsontext.Value

	// Subscriber is what the Handler keeps of the call's own subscriptions.
	Subscriber any

	message  *message
	out      *outbox
	ctx      context.Context // of the call
	cancel   context.CancelFunc
	done     func() // called when the answer was written or is lost
	slot     *slot  // nil: it does not count
	large    bool   // the request or its answer is large
	code     int    // of the error that it is answered with; 0: none
	unwanted bool   // the client has cancelled it and takes no answer
	listenAs string // the id at mcp-go of a subscriptions/listen request

	flushing sync.Mutex

	mu       sync.Mutex
	fault    *Error
	filter   mcp.SubscriptionFilter
	notes    chan mcp.JSONRPCNotification // nil: NotificationChannel was not called
	forwards chan chan struct{}           // forward closes a channel sent here once all notes are forwarded; nil: forward does not run
	handled  bool                         // later notes are dropped
	delivery Delivery                     // of the answer

	// Of a subscriptions/listen request:
	acknowledged bool
	early        []string // resources that have changed before that
}

// newCall makes a call. Its answer and notifications go to out.
func (s *Session) newCall(ctx context.Context, m *message, header http.Header, out *outbox) *Call {
	c := &Call{
		Session: s, ID: m.id, Method: m.name, Size: len(m.line), Came: time.Now(), Header: header, Meta: m.object.meta, Modern: m.modern(),
		message: m, out: out,
	}
	c.ctx, c.cancel = context.WithCancel(ctx)
	switch mcp.MCPMethod(m.name) {
	case mcp.MethodToolsCall:
		c.Tool, c.Bare, c.Arguments = unquote(m.object.tool), len(m.object.others) == 0, m.object.arguments
	case mcp.MethodSubscriptionsListen:
		c.listenAs = uuid.NewString()
	}
	return c
}

// run answers the call.
func (c *Call) run() {
	defer c.cancel()
	text := c.handle()
	c.flushNotifications(true)
	c.large = max(c.Size, len(text)) >= memory.LargeMessage
	// The client may use the id again as soon as it has the answer.
	if wanted := c.calls.remove(c); !wanted || !c.out.put(outMessage{text: text, answer: c}) {
		c.settle(false)
	}
}

// handle gives the encoded answer.
func (c *Call) handle() (text []byte) {
	defer func() {
		if r := recover(); r != nil {
			LogPanic(c.cfg.Log, c.Method, r)
			text = c.encodeFault(internalError())
		}
	}()
	ctx := context.WithValue(c.cfg.MCP.WithContext(c.ctx, c), callKey{}, c)
	if c.listenAs != "" {
		if c.Wait() != nil {
			return c.encodeFault(Error{Code: codeBusy, Message: "Too many calls wait already; end one, and try again"})
		}
		_ = c.cfg.MCP.RegisterSession(ctx, c) // fails only if the id is taken
		defer c.cfg.MCP.UnregisterSession(ctx, c.listenAs)
	}
	answer := c.cfg.Handler.Handle(ctx, c)
	c.mu.Lock()
	fault := c.fault
	c.mu.Unlock()
	if fault != nil {
		return c.encodeFault(*fault)
	}
	return c.encodeAnswer(answer)
}

// Dispatch gives mcp-go's answer to the call. ctx is Handle's, or made from it.
func (c *Call) Dispatch(ctx context.Context) mcp.JSONRPCMessage {
	return c.cfg.MCP.HandleMessage(ctx, c.small())
}

// small gives the message as mcp-go gets it.
func (c *Call) small() []byte {
	m := *c.message
	m.id = jsontext.Value("1") // mcp-go would change a large number; the answer gets c.ID
	if c.Method == string(mcp.MethodToolsCall) {
		m.object.arguments = jsontext.Value("{}")
	}
	return m.encode()
}

type callKey struct{}

// CallOf gives the call that a context belongs to, nil if it belongs to none.
func CallOf(ctx context.Context) *Call {
	c, _ := ctx.Value(callKey{}).(*Call)
	return c
}

// Fail makes e the answer to the call, whatever Handle returns.
func (c *Call) Fail(e *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = e
}

// MetaMember gives a member of the params' _meta, nil if there is none.
func (c *Call) MetaMember(name string) jsontext.Value { return c.message.metaMember(name) }

// Param gives another member of the params, nil if there is none.
func (c *Call) Param(name string) jsontext.Value {
	for _, o := range c.message.object.others {
		if o.name == name {
			return o.value
		}
	}
	return nil
}

// OnWritten calls a function when it is known whether the answer was written to
// the client: at once if it is known already.
func (c *Call) OnWritten(then func(written bool)) { c.delivery.OnWritten(then) }

// settle ends the call: the answer was written to the client, or is lost.
func (c *Call) settle(written bool) {
	c.delivery.Settle(written)
	if c.done != nil {
		c.done()
	}
}

// NotificationChannel takes the call's notifications. A goroutine forwards them
// to the outbox, since mcp-go never waits for room.
func (c *Call) NotificationChannel() chan<- mcp.JSONRPCNotification {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.notes == nil {
		c.notes = make(chan mcp.JSONRPCNotification, maxNotifications)
		if !c.handled {
			c.forwards = make(chan chan struct{})
			go c.forward(c.forwards)
		}
	}
	return c.notes
}

// forward forwards notifications until the call has been handled.
func (c *Call) forward(all <-chan chan struct{}) {
	for {
		select {
		case n := <-c.notes:
			c.notify(n)
		case done, more := <-all:
			if !more {
				return
			}
			for len(c.notes) > 0 {
				c.notify(<-c.notes)
			}
			close(done)
		}
	}
}

func (c *Call) notify(n mcp.JSONRPCNotification) {
	if c.listenAs != "" {
		n = c.tagged(n)
	}
	if !c.out.put(outMessage{text: encodeNotification(n)}) {
		return
	}
	if n.Method == mcp.MethodNotificationSubscriptionsAcknowledged {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.acknowledged = true
		for _, uri := range c.early {
			c.update(uri)
		}
		c.early = nil
	}
}

// tagged gives a notification that names the subscriptions/listen request whose
// stream carries it. A broadcast shares its _meta with other sessions.
func (c *Call) tagged(n mcp.JSONRPCNotification) mcp.JSONRPCNotification {
	meta := maps.Clone(n.Params.Meta)
	if meta == nil {
		meta = map[string]any{}
	}
	meta[mcp.MetaKeySubscriptionID] = json.RawMessage(c.ID)
	n.Params.Meta = meta
	return n
}

// flushNotifications puts what the call has sent so far into the outbox. The last
// time it ends the goroutine that forwards.
func (c *Call) flushNotifications(last bool) {
	c.flushing.Lock()
	defer c.flushing.Unlock()
	c.mu.Lock()
	forwards, done := c.forwards, make(chan struct{})
	if last {
		c.handled, c.forwards = true, nil
	}
	c.mu.Unlock()
	if forwards == nil {
		return
	}
	forwards <- done
	<-done
	if last {
		close(forwards)
	}
}

// SessionID is the session's. A subscriptions/listen request has an id of its own:
// mcp-go registers it as another session.
func (c *Call) SessionID() string {
	if c.listenAs != "" {
		return c.listenAs
	}
	return c.Session.SessionID()
}

// Initialize notes that the client has introduced itself. With a modern request that
// counts for the request only.
func (c *Call) Initialize() {
	if !c.Modern {
		c.Session.Initialize()
	}
}

// Initialized reports whether the call takes notifications.
func (c *Call) Initialized() bool { return c.Modern || c.Session.Initialized() }

// SetSubscriptionFilter notes which broadcasts the client listens to.
func (c *Call) SetSubscriptionFilter(f mcp.SubscriptionFilter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.filter = f
}

// SubscriptionFilter gives the broadcasts that the client listens to.
func (c *Call) SubscriptionFilter() (f mcp.SubscriptionFilter, listens bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.filter, c.listenAs != ""
}

// Listens reports whether this is a subscriptions/listen request.
func (c *Call) Listens() bool { return c.listenAs != "" }

// ResourceUpdated notifies the client that a resource has changed. The notification
// of a subscriptions/listen request goes to its own stream, after the acknowledgement, and
// names the request.
func (c *Call) ResourceUpdated(uri string) {
	if c.listenAs == "" {
		c.Session.ResourceUpdated(uri)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.acknowledged:
		c.update(uri)
	case !slices.Contains(c.early, uri):
		c.early = append(c.early, uri)
	}
}

func (c *Call) update(uri string) {
	// The outbox may be the session's, which has an update of its own.
	c.out.update(string(c.ID)+uri, encodeNotification(c.tagged(resourceUpdated(uri))))
}

func resourceUpdated(uri string) mcp.JSONRPCNotification {
	return mcp.JSONRPCNotification{JSONRPC: mcp.JSONRPC_VERSION, Notification: mcp.Notification{
		Method: mcp.MethodNotificationResourceUpdated,
		Params: mcp.NotificationParams{AdditionalFields: map[string]any{"uri": uri}},
	}}
}

// SubscribeToResource calls SubscribeToResourceErr and ignores the error.
func (c *Call) SubscribeToResource(uri string) { _ = c.SubscribeToResourceErr(uri) }

// SubscribeToResourceErr subscribes to a resource.
func (c *Call) SubscribeToResourceErr(uri string) error {
	return c.cfg.Handler.Subscribe(c.ctx, c, uri)
}

// UnsubscribeFromResource ends a subscription.
func (c *Call) UnsubscribeFromResource(uri string) { c.cfg.Handler.Unsubscribe(c, uri) }

// SubscribedResources completes mcp-go's interface. mcp-go does not call it, and only the
// Handler knows the subscriptions.
func (c *Call) SubscribedResources() []string { return nil }

// IsSubscribedToResource completes mcp-go's interface, as SubscribedResources does.
func (c *Call) IsSubscribedToResource(string) bool { return false }
