package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/tools"
)

// Bounds of watching.
const (
	maxSubscriptions = 1000             // of one subscriber
	maxPause         = 30 * time.Second // between polls that fail
	maxWait          = 10 * time.Minute // of a server's Retry-After
	pollPatience     = 30 * time.Second // with one poll
)

// watcher sees when kubbis change, and tells those who have subscribed to them.
// The Kubbi API has no way to be told, so it asks, in a goroutine that runs only
// while there are subscriptions.
type watcher struct {
	client *kubbi.Client
	every  time.Duration // between polls
	log    *slog.Logger
	wake   chan struct{}  // holds one when something may have changed
	polls  sync.WaitGroup // the goroutines

	mu     sync.Mutex
	kubbis map[string]*watched // by id
	cancel context.CancelFunc  // ends the goroutine; nil: there is none
	closed bool
}

// watched is a kubbi that somebody has subscribed to.
type watched struct {
	id          string
	seen        state
	subscribers map[*subscriber]bool // true: must still be told of what was seen last
}

// state is what a subscriber is told of, when it changes.
type state struct {
	status     api.Status
	retrievals int
}

func stateOf(k *kubbi.Kubbi) state { return state{k.Status, k.RetrievalCount} }

// terminal reports whether nothing can change any more.
func (s state) terminal() bool { return s.status != "" && s.status != api.StatusActive }

// subscriber is one that subscribes: a session, or a stream of its own. One that
// goes away is dropped.
type subscriber struct {
	send func(uri string) // must neither block nor call the watcher

	held bool            // is told nothing yet; this and what follows is the watcher's
	gone bool            // was dropped
	uris map[string]bool // what it has subscribed to
}

func newWatcher(client *kubbi.Client, every time.Duration, log *slog.Logger) *watcher {
	if every == 0 {
		every = time.Second
	}
	return &watcher{client: client, every: every, log: log, wake: make(chan struct{}, 1), kubbis: map[string]*watched{}}
}

var (
	errTooManySubscriptions = fmt.Errorf("too many subscriptions: %d at most; end one first", maxSubscriptions)
	errGone                 = errors.New("the session has ended, or the server is shutting down")
)

// subscribe has a subscriber told when a kubbi is claimed or ends. What went
// wrong is worded for the client. A kubbi that has ended already is told of
// once, as if it had just now: the recipient may have been faster than the
// subscription.
func (w *watcher) subscribe(ctx context.Context, sub *subscriber, uri string) error {
	id, ok := idOf(uri)
	if !ok {
		return errNoResource
	}
	if done, err := w.check(sub, uri); done || err != nil {
		return err
	}
	k, err := w.client.Get(ctx, id)
	switch {
	case errors.Is(err, kubbi.ErrNotFound):
		return errNoResource
	case err != nil:
		return errors.New(tools.ErrorText("get", err))
	}
	now := stateOf(k)
	if now.terminal() {
		now = state{}
	}
	if _, err := w.check(sub, uri); err != nil {
		return err
	}
	return w.add(sub, id, now)
}

// check reports whether a subscriber has a subscription already, or why it can
// have no more.
func (w *watcher) check(sub *subscriber, uri string) (done bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !sub.uris[uri] && len(sub.uris) >= maxSubscriptions {
		return false, errTooManySubscriptions
	}
	return sub.uris[uri], nil
}

// add notes a subscription to a kubbi, and sees to it that somebody watches.
func (w *watcher) add(sub *subscriber, id string, now state) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || sub.gone {
		return errGone
	}
	sub.note(kubbiScheme + id)
	k := w.kubbis[id]
	if k == nil {
		k = &watched{id: id, seen: now, subscribers: map[*subscriber]bool{}}
		w.kubbis[id] = k
	}
	k.subscribers[sub] = false
	if w.cancel == nil {
		ctx, cancel := context.WithCancel(context.Background())
		w.cancel = cancel
		w.polls.Go(func() { w.run(ctx) })
	}
	return nil
}

func (s *subscriber) note(uri string) {
	if s.uris == nil {
		s.uris = map[string]bool{}
	}
	s.uris[uri] = true
}

// accept notes a subscription to what is not a kubbi, and so not watched.
func (w *watcher) accept(sub *subscriber, uri string) error {
	_, err := w.check(sub, uri)
	if err == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		sub.note(uri)
	}
	return err
}

// unsubscribe ends a subscription. One that there is not is no error.
func (w *watcher) unsubscribe(sub *subscriber, uri string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.remove(sub, uri)
}

// drop ends all of a subscriber's subscriptions, for good: one that is being
// made comes to nothing.
func (w *watcher) drop(sub *subscriber) {
	w.mu.Lock()
	defer w.mu.Unlock()
	sub.gone = true
	for uri := range sub.uris {
		w.remove(sub, uri)
	}
}

// remove ends a subscription, and the watch with the last one.
func (w *watcher) remove(sub *subscriber, uri string) {
	delete(sub.uris, uri)
	id, _ := idOf(uri)
	k := w.kubbis[id]
	if k == nil {
		return
	}
	delete(k.subscribers, sub)
	if len(k.subscribers) == 0 {
		delete(w.kubbis, id)
	}
	if len(w.kubbis) == 0 && w.cancel != nil {
		w.cancel()
		w.cancel = nil
	}
}

// subscribed gives a subscriber's subscriptions.
func (w *watcher) subscribed(sub *subscriber) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Keys(sub.uris))
}

// hold has a subscriber told nothing until it is released; it then learns what
// it has missed, with the next poll.
func (w *watcher) hold(sub *subscriber, held bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	sub.held = held
}

// changed says that something has happened that may have changed a kubbi.
func (w *watcher) changed() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// close ends the watch for good, and waits for that.
func (w *watcher) close() {
	w.mu.Lock()
	w.closed = true
	if w.cancel != nil {
		w.cancel()
		w.cancel = nil
	}
	w.mu.Unlock()
	w.polls.Wait()
}

// run polls until ctx ends: at intervals, and sooner when something may have
// changed, but never in one go; more seldom while it fails.
func (w *watcher) run(ctx context.Context) {
	soon := w.every / 4
	timer := time.NewTimer(soon)
	defer timer.Stop()
	failed := 0
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
			if failed == 0 {
				timer.Reset(max(0, soon-time.Since(last)))
			}
			continue
		case <-timer.C:
		}
		pause := w.every
		err := w.poll(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if failed++; failed == 1 {
				w.log.Warn("watch kubbis", "error", err)
			}
			pause = w.pause(failed, err)
		case failed > 0:
			w.log.Info("watch kubbis again", "failed", failed)
			failed = 0
		}
		last = time.Now()
		timer.Reset(pause)
	}
}

// pause is how long to wait after polls that failed.
func (w *watcher) pause(failed int, err error) time.Duration {
	pause := w.every
	for ; failed > 0 && pause < maxPause; failed-- {
		pause *= 2
	}
	pause = max(w.every, min(pause, maxPause))
	var kerr *kubbi.Error
	if errors.As(err, &kerr) {
		pause = max(pause, min(kerr.RetryAfter, maxWait))
	}
	return pause
}

// poll looks at every watched kubbi once: on the pages of the list, newest
// first, for as long as that takes fewer requests than to ask for each that was
// not on them.
func (w *watcher) poll(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, pollPatience)
	defer cancel()
	left := w.snapshot()
	anchor := ""
	for page := 1; len(left) > 1; page++ {
		p, next, err := w.client.ListFrom(asking, kubbi.ListParams{Page: page, Limit: api.MaxPageLimit}, anchor)
		if err != nil {
			return err
		}
		anchor = next
		for i := range p.Kubbis {
			if k := left[p.Kubbis[i].ID]; k != nil {
				delete(left, k.id)
				w.see(k, stateOf(&p.Kubbis[i]))
			}
		}
		if pages := p.Pagination.TotalPages - page; pages <= 0 || pages > len(left) {
			break
		}
	}
	for id, k := range left {
		got, err := w.client.Get(asking, id)
		switch {
		case errors.Is(err, kubbi.ErrNotFound):
			w.see(k, state{status: api.StatusDeleted}) // long ended, and forgotten since
		case err != nil:
			return err
		default:
			w.see(k, stateOf(got))
		}
	}
	return nil
}

// snapshot gives what is watched.
func (w *watcher) snapshot() map[string]*watched {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.kubbis)
}

// see notes a kubbi's state, and tells its subscribers if it is news to them.
// After the last news the watch ends.
func (w *watcher) see(k *watched, now state) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.kubbis[k.id] != k {
		return // nobody's any more
	}
	news := now.status != k.seen.status || now.retrievals != k.seen.retrievals
	k.seen = now
	uri := kubbiScheme + k.id
	for sub, owed := range k.subscribers {
		owed = owed || news
		k.subscribers[sub] = owed && sub.held
		if sub.held {
			continue
		}
		if owed {
			sub.send(uri)
		}
		if now.terminal() {
			w.remove(sub, uri)
		}
	}
}
