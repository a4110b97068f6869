package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"kubbi-mcp/internal/memory"
	"kubbi-mcp/internal/misslimit"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/server/transport"
)

const (
	maxCallers   = 1024        // in memory at the same time
	releaseAfter = time.Second // without calls, free memory goes back to the system
)

// caller is an HTTP client: a token, a key of the Kubbi API, or a token and a key. It
// has a Server of its own.
type caller struct {
	server   *Server
	token    string // name of the token; "": none
	client   *kubbi.Client
	endpoint *transport.Endpoint

	mu       sync.Mutex
	used     time.Time // end of the last request
	requests int       // under way

	// Of the caller's own key:
	validAt  time.Time // when a check last found it valid
	wrongAt  time.Time // when a check last found it wrong
	checking bool
}

// callers are the callers that have sent a request lately.
type callers struct {
	h         *HTTP
	checks    chan struct{} // holds an item for each unknown key that is being checked
	wrongKeys *misslimit.Limiter[keySource]

	mu     sync.Mutex
	byID   map[string]*caller
	closed bool
}

func newCallers(h *HTTP) *callers {
	return &callers{h: h, byID: map[string]*caller{}, checks: make(chan struct{}, maxKeyChecks), wrongKeys: misslimit.New[keySource](maxWrongKeys)}
}

// forCaller gives a handler the caller of each request.
func (h *HTTP) forCaller(serve func(*caller, http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, p := h.identify(r)
		var c *caller
		if p == nil {
			c, p = h.callers.get(r.Context(), id, r.RemoteAddr)
		}
		if p != nil {
			h.refuseCaller(w, r, p)
			return
		}
		defer c.endRequest()
		serve(c, w, r)
	}
}

// forEndpoint is forCaller for a method of the caller's endpoint.
func (h *HTTP) forEndpoint(serve func(*transport.Endpoint, http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return h.forCaller(func(c *caller, w http.ResponseWriter, r *http.Request) { serve(c.endpoint, w, r) })
}

// refuseCaller refuses a request because of who sends it.
func (h *HTTP) refuseCaller(w http.ResponseWriter, r *http.Request, p *transport.Refusal) {
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", h.challenge(r, p))
	}
	h.http.Refuse(w, p)
}

// get gives the caller with an identity for one request, which endRequest ends. It makes
// a new caller if there is none. It checks the caller's own key unless that was done a
// short time ago. peer is the address that the request comes from.
func (cs *callers) get(ctx context.Context, id identity, peer string) (*caller, *transport.Refusal) {
	cs.mu.Lock()
	c := cs.byID[id.key()]
	if c != nil {
		c.beginRequest()
	}
	cs.mu.Unlock()
	switch {
	case c == nil:
		return cs.add(ctx, id, peer)
	case id.ownKey && c.hasWrongKey():
		c.endRequest()
		return nil, wrongKey()
	case id.ownKey && c.mustCheckKey():
		if p, _ := cs.checkKey(ctx, c); p != nil {
			c.endRequest()
			return nil, p
		}
	}
	return c, nil
}

// add makes the caller with an identity, checks its own key and adds it.
func (cs *callers) add(ctx context.Context, id identity, peer string) (*caller, *transport.Refusal) {
	from := sourceOf(id, peer)
	if id.ownKey {
		if wait := cs.wrongKeys.Wait(from, time.Now()); wait > 0 {
			return nil, tooManyKeys(wait)
		}
	}
	c, p := cs.make(ctx, id)
	if p != nil {
		return nil, p
	}
	if id.ownKey {
		if p := cs.checkUnknownKey(ctx, c, from); p != nil {
			c.close()
			return nil, p
		}
	}
	return cs.put(id.key(), c)
}

// make makes the caller with an identity.
func (cs *callers) make(ctx context.Context, id identity) (*caller, *transport.Refusal) {
	h := cs.h
	name := id.name
	if id.ownKey {
		hash := sha256.Sum256([]byte(id.apiKey)) // its first bytes tell keys apart in logs
		name = "key:" + hex.EncodeToString(hash[:4])
		if id.name != "" {
			name = id.name + "/" + name
		}
	}
	client, err := h.cfg.Connect(ctx, id.name, id.apiKey)
	if err != nil {
		h.log.Error("connect a caller to the Kubbi API", "caller", name, "error", err)
		return nil, transport.Busy(http.StatusServiceUnavailable, "unavailable", "The Kubbi API can't be used at the moment; the server's log says why")
	}
	cfg := h.cfg.Server
	cfg.Client, cfg.Caller, cfg.Metrics, cfg.taskMemory = client, name, h.cfg.Metrics, h.taskMemory
	if rules, ok := h.cfg.Files[id.name]; ok && id.name != "" {
		cfg.Files = rules
	}
	if len(h.cfg.Tokens) > 0 && id.name == "" {
		cfg.Received = false // a caller without a token saves nothing on this machine
	}
	s, err := New(cfg)
	if err != nil {
		h.log.Error("make a caller's server", "caller", name, "error", err)
		return nil, transport.Refuse(http.StatusInternalServerError, "internal", transport.ErrInternal.Error())
	}
	return &caller{server: s, token: id.name, client: client, endpoint: h.http.NewEndpoint(s.transportConfig())}, nil
}

// put adds a new caller. If another request has added it meanwhile, put gives that one. If
// there are too many callers, it removes the one that has been idle for the longest time.
func (cs *callers) put(key string, made *caller) (*caller, *transport.Refusal) {
	c, evicted, p := cs.insert(key, made)
	if c != made {
		made.close()
	}
	if evicted != nil {
		evicted.close()
	}
	return c, p
}

func (cs *callers) insert(key string, made *caller) (c, evicted *caller, p *transport.Refusal) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.closed {
		return nil, nil, transport.Draining()
	}
	if c = cs.byID[key]; c == nil {
		if len(cs.byID) >= maxCallers {
			if evicted = cs.evict(); evicted == nil {
				return nil, nil, transport.Busy(http.StatusServiceUnavailable, "overloaded", "The server has as many callers as it can; try again later")
			}
		}
		c = made
		cs.byID[key] = c
	}
	c.beginRequest()
	return c, evicted, nil
}

// evict removes the caller that has been idle for the longest time, and returns it.
// It returns nil if none is idle. The caller holds mu.
func (cs *callers) evict() *caller {
	var oldest *caller
	var since time.Time
	var at string
	for key, c := range cs.byID {
		if used, ok := c.idleSince(); ok && (oldest == nil || used.Before(since)) {
			oldest, since, at = c, used, key
		}
	}
	delete(cs.byID, at)
	return oldest
}

// sweep removes idle sessions and callers, and releases free memory when no call runs,
// until ctx ends.
func (cs *callers) sweep(ctx context.Context) {
	idle := cs.h.http.Limits().SessionIdle
	sweep := time.NewTicker(max(idle/4, 10*time.Millisecond))
	defer sweep.Stop()
	release := time.NewTicker(releaseAfter)
	defer release.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-release.C:
			if cs.h.http.Quiet() {
				memory.Release()
			}
		case <-sweep.C:
			cs.removeIdle(time.Now().Add(-idle))
		}
	}
}

// removeIdle removes the sessions and callers that were last used before a time.
func (cs *callers) removeIdle(before time.Time) {
	for _, c := range cs.all() {
		c.endpoint.DropIdle(before)
	}
	var idle []*caller
	cs.mu.Lock()
	for key, c := range cs.byID {
		if used, ok := c.idleSince(); ok && used.Before(before) {
			delete(cs.byID, key)
			idle = append(idle, c)
		}
	}
	cs.mu.Unlock()
	for _, c := range idle {
		c.close()
	}
}

func (cs *callers) all() []*caller {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return slices.Collect(maps.Values(cs.byID))
}

// close removes all callers. No request is served any more.
func (cs *callers) close() error {
	cs.mu.Lock()
	all := cs.byID
	cs.byID, cs.closed = nil, true
	cs.mu.Unlock()
	var errs []error
	for _, c := range all {
		errs = append(errs, c.close())
	}
	return errors.Join(errs...)
}

func (c *caller) beginRequest() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
}

func (c *caller) endRequest() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests--
	c.used = time.Now()
}

// idleSince gives the end of the last request. ok says that the caller is idle: it has
// no request, session or task.
func (c *caller) idleSince() (since time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used, c.requests == 0 && c.endpoint.Sessions() == 0 && c.server.tasks.isEmpty()
}

// close ends a caller's sessions and its Server. The caller has no request any more.
func (c *caller) close() error {
	c.endpoint.Close()
	c.server.Close()
	if err := c.client.Close(); err != nil {
		return fmt.Errorf("close a caller's client: %w", err)
	}
	return nil
}
