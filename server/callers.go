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

// Bounds of the callers that are known at once.
const (
	maxCallers = 1024
	quietFor   = time.Second // without calls, before memory is given back
)

// caller is one of those who call: a token, a key of the Kubbi API, or the two
// together. All that is its own hangs on it.
type caller struct {
	server   *Server
	token    string // the name of its token; "": it has none
	client   *kubbi.Client
	endpoint *transport.Endpoint

	mu      sync.Mutex
	used    time.Time
	checked time.Time // when its own key was last seen to be valid
	refused time.Time // when it was last seen to be wrong
	trying  bool      // that key, anew
	serving int       // requests
}

// callers are those that have called of late.
type callers struct {
	h        *HTTP
	checking chan struct{} // holds one for each stranger's key that is being tried
	wrong    *misslimit.Limiter[keySource]

	mu     sync.Mutex
	byID   map[string]*caller
	closed bool
}

func newCallers(h *HTTP) *callers {
	return &callers{h: h, byID: map[string]*caller{}, checking: make(chan struct{}, maxChecking), wrong: misslimit.New[keySource](maxWrongKeys)}
}

// forCaller wraps a handler that needs to know who calls.
func (h *HTTP) forCaller(next func(http.ResponseWriter, *http.Request, *caller)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, p := h.identify(r)
		if p == nil {
			var c *caller
			if c, p = h.callers.get(r.Context(), id, r.RemoteAddr); p == nil {
				defer c.done()
				next(w, r, c)
				return
			}
		}
		h.refuseCaller(w, r, p)
	}
}

// refuseCaller refuses a request because of who makes it.
func (h *HTTP) refuseCaller(w http.ResponseWriter, r *http.Request, p *transport.Refusal) {
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", h.challenge(r, p))
	}
	h.http.Refuse(w, p)
}

// get finds the caller of an identity, or makes it, for the time of a request:
// done ends that. peer is the address that the request comes from.
func (cs *callers) get(ctx context.Context, id identity, peer string) (*caller, *transport.Refusal) {
	hash := sha256.Sum256([]byte(id.apiKey))
	key := id.name + "\x00" + string(hash[:])
	cs.mu.Lock()
	c := cs.byID[key]
	if c != nil {
		c.begin()
	}
	cs.mu.Unlock()
	if c == nil {
		from := sourceOf(id, peer)
		if id.ownKey {
			if wait := cs.wrong.Wait(from, time.Now()); wait > 0 {
				return nil, tooManyKeys(wait)
			}
		}
		made, p := cs.make(ctx, id, hash)
		if p != nil {
			return nil, p
		}
		if id.ownKey {
			if p := cs.tryStranger(ctx, made, from); p != nil {
				made.close()
				return nil, p
			}
		}
		return cs.put(key, made)
	}
	if id.ownKey && c.isRefused() {
		c.done()
		return nil, wrongKey()
	}
	if id.ownKey && c.mustCheck() {
		if p, _ := cs.try(ctx, c); p != nil {
			c.done()
			return nil, p
		}
	}
	return c, nil
}

// make makes the caller of an identity.
func (cs *callers) make(ctx context.Context, id identity, hash [sha256.Size]byte) (*caller, *transport.Refusal) {
	h := cs.h
	name := id.name
	if id.ownKey {
		// Enough of it to tell keys apart, and of no use to anybody.
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
	cfg.Client, cfg.Caller, cfg.Metrics, cfg.taskMemory = client, name, h.cfg.Metrics, &h.taskMemory
	if rules, ok := h.cfg.Files[id.name]; ok && id.name != "" {
		cfg.Files = rules
	}
	if len(h.cfg.Tokens) > 0 && id.name == "" {
		cfg.Received = false // a stranger fills no folder of ours either
	}
	s, err := New(cfg)
	if err != nil {
		h.log.Error("make a caller's server", "caller", name, "error", err)
		return nil, transport.Refuse(http.StatusInternalServerError, "internal", transport.ErrInternal.Error())
	}
	return &caller{server: s, token: id.name, client: client, endpoint: h.http.NewEndpoint(s.transportConfig())}, nil
}

// put notes a new caller, unless another request was first. Where there are too
// many, one that has nothing under way makes room.
func (cs *callers) put(key string, made *caller) (*caller, *transport.Refusal) {
	cs.mu.Lock()
	c := cs.byID[key]
	var gone *caller
	var p *transport.Refusal
	switch {
	case cs.closed:
		p = transport.Draining()
	case c != nil:
	case len(cs.byID) >= maxCallers:
		if gone = cs.evict(); gone == nil {
			p = transport.Busy(http.StatusServiceUnavailable, "overloaded", "The server has as many callers as it can; try again later")
			break
		}
		fallthrough
	default:
		c = made
		cs.byID[key] = c
	}
	if p == nil {
		c.begin()
	}
	cs.mu.Unlock()
	if c != made || p != nil {
		made.close()
	}
	if gone != nil {
		gone.close()
	}
	return c, p
}

// evict takes out the caller who has had nothing under way for the longest.
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

// sweep drops sessions and callers that have gone idle, and gives memory back to
// the system when all is quiet, until ctx ends.
func (cs *callers) sweep(ctx context.Context) {
	idle := cs.h.http.Limits().SessionIdle
	tick := time.NewTicker(max(idle/4, 10*time.Millisecond))
	defer tick.Stop()
	rest := time.NewTicker(quietFor)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-rest.C:
			if cs.h.http.Quiet() {
				memory.Release()
			}
			continue
		case <-tick.C:
		}
		before := time.Now().Add(-idle)
		var gone []*caller
		cs.mu.Lock()
		all := make([]*caller, 0, len(cs.byID))
		for key, c := range cs.byID {
			if used, ok := c.idleSince(); ok && used.Before(before) {
				delete(cs.byID, key)
				gone = append(gone, c)
				continue
			}
			all = append(all, c)
		}
		cs.mu.Unlock()
		for _, c := range all {
			c.endpoint.DropIdle(before)
		}
		for _, c := range gone {
			c.close()
		}
	}
}

func (cs *callers) all() []*caller {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return slices.Collect(maps.Values(cs.byID))
}

// close forgets all callers.
func (cs *callers) close() error {
	all := cs.all()
	cs.mu.Lock()
	cs.closed = true
	clear(cs.byID)
	cs.mu.Unlock()
	var errs []error
	for _, c := range all {
		errs = append(errs, c.close())
	}
	return errors.Join(errs...)
}

func (c *caller) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serving++
}

// done ends what get began.
func (c *caller) done() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serving--
	c.used = time.Now()
}

// idleSince reports since when nothing of a caller is under way, if so.
func (c *caller) idleSince() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used, c.serving == 0 && c.endpoint.Sessions() == 0 && c.server.tasks.isEmpty()
}

// close ends what a caller has open. Nothing of it is being served any more.
func (c *caller) close() error {
	c.endpoint.Close()
	c.server.Close()
	if err := c.client.Close(); err != nil {
		return fmt.Errorf("close a caller's client: %w", err)
	}
	return nil
}
