package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
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
	maxRetryAfter    = 10 * time.Minute // longest Retry-After that is followed
	pollTimeout      = 30 * time.Second
)

// watcher notifies subscribers when kubbis change. The Kubbi API sends no
// notifications, so the watcher polls it, in a goroutine that runs only while there
// are subscriptions.
type watcher struct {
	client *kubbi.Client
	every  time.Duration // between polls
	log    *slog.Logger
	wake   chan struct{}  // holds one item when a kubbi may have changed
	polls  sync.WaitGroup // the goroutines

	mu     sync.Mutex
	kubbis map[string]*watchedKubbi // by id
	cancel context.CancelFunc       // ends the goroutine; nil: there is none
	closed bool
}

// watchedKubbi is a kubbi that somebody has subscribed to.
type watchedKubbi struct {
	id          string
	seen        state
	subscribers map[*subscriber]struct{}
}

// state is the part of a kubbi whose changes are notified.
type state struct {
	status     api.Status
	retrievals int
}

func stateOf(k *kubbi.Kubbi) state { return state{k.Status, k.RetrievalCount} }

// terminal reports whether nothing can change any more.
func (s state) terminal() bool { return s.status != "" && s.status != api.StatusActive }

// subscriber is a session or a subscriptions/listen stream.
type subscriber struct {
	send func(uri string) // must neither block nor call the watcher

	// The watcher's mu guards these.
	dropped bool            // gets no notifications any more
	uris    map[string]bool // its subscriptions
}

func newWatcher(client *kubbi.Client, every time.Duration, log *slog.Logger) *watcher {
	return &watcher{client: client, every: every, log: log, wake: make(chan struct{}, 1), kubbis: map[string]*watchedKubbi{}}
}

var (
	errTooManySubscriptions = fmt.Errorf("too many subscriptions: %d at most; end one first", maxSubscriptions)
	errEnded                = errors.New("the session has ended, or the server is shutting down")
)

// subscribe notifies a subscriber when a kubbi is claimed or ends. The text of an
// error is for the client. If the kubbi has ended already, the subscriber is
// notified once: the recipient may have been faster than the subscription.
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
	return w.add(sub, id, now)
}

// check reports whether a subscriber has a subscription already, or gives an error
// if it has too many.
func (w *watcher) check(sub *subscriber, uri string) (done bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !sub.uris[uri] && len(sub.uris) >= maxSubscriptions {
		return false, errTooManySubscriptions
	}
	return sub.uris[uri], nil
}

// add adds a subscription to a kubbi, and starts to poll if nothing polls yet.
func (w *watcher) add(sub *subscriber, id string, now state) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return errEnded
	}
	if err := sub.add(kubbiScheme + id); err != nil {
		return err
	}
	k := w.kubbis[id]
	if k == nil {
		k = &watchedKubbi{id: id, seen: now, subscribers: map[*subscriber]struct{}{}}
		w.kubbis[id] = k
	}
	k.subscribers[sub] = struct{}{}
	if w.cancel == nil {
		ctx, cancel := context.WithCancel(context.Background())
		w.cancel = cancel
		w.polls.Go(func() { w.run(ctx) })
	}
	return nil
}

// add adds a URI. The caller holds the watcher's mu.
func (s *subscriber) add(uri string) error {
	switch {
	case s.dropped:
		return errEnded
	case !s.uris[uri] && len(s.uris) >= maxSubscriptions:
		return errTooManySubscriptions
	case s.uris == nil:
		s.uris = map[string]bool{}
	}
	s.uris[uri] = true
	return nil
}

// addOther adds a subscription to a resource that is no kubbi. It is not polled.
func (w *watcher) addOther(sub *subscriber, uri string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return sub.add(uri)
}

// unsubscribe ends a subscription. If there is none it does nothing.
func (w *watcher) unsubscribe(sub *subscriber, uri string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.remove(sub, uri)
}

// drop ends all subscriptions of a subscriber, also one that is being made. The
// subscriber can't subscribe again.
func (w *watcher) drop(sub *subscriber) {
	w.mu.Lock()
	defer w.mu.Unlock()
	sub.dropped = true
	for uri := range sub.uris {
		w.remove(sub, uri)
	}
}

// remove ends a subscription. With the last one the polling ends. The caller holds
// mu.
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

// changed makes the watcher poll soon: a kubbi may have changed.
func (w *watcher) changed() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// close ends the polling for good, and waits until it has ended.
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

// run polls until ctx ends: at intervals, sooner after a call of changed, and less
// often while polls fail.
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

// pause is how long to wait after a number of polls that failed.
func (w *watcher) pause(failed int, err error) time.Duration {
	pause := w.every
	for ; failed > 0 && pause < maxPause; failed-- {
		pause *= 2
	}
	pause = max(w.every, min(pause, maxPause))
	var kerr *kubbi.Error
	if errors.As(err, &kerr) {
		pause = max(pause, min(kerr.RetryAfter, maxRetryAfter))
	}
	return pause
}

// poll gets the state of every watched kubbi. It reads pages of the list, newest first,
// while that needs fewer requests than a get for each kubbi that is left.
func (w *watcher) poll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	left := w.watched()
	anchor := ""
	for page := 1; len(left) > 1; page++ {
		p, err := w.client.List(ctx, kubbi.ListParams{Page: page, Limit: api.MaxPageLimit, Anchor: anchor})
		if err != nil {
			return err
		}
		anchor = p.Anchor
		for i := range p.Kubbis {
			if k := left[p.Kubbis[i].ID]; k != nil {
				delete(left, k.id)
				w.update(k, stateOf(&p.Kubbis[i]))
			}
		}
		if pages := p.Pagination.TotalPages - page; pages <= 0 || pages > len(left) {
			break
		}
	}
	for id, k := range left {
		got, err := w.client.Get(ctx, id)
		switch {
		case errors.Is(err, kubbi.ErrNotFound):
			w.update(k, state{status: api.StatusDeleted}) // its tombstone is gone
		case err != nil:
			return err
		default:
			w.update(k, stateOf(got))
		}
	}
	return nil
}

// watched gives the kubbis that somebody has subscribed to, by id.
func (w *watcher) watched() map[string]*watchedKubbi {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.kubbis)
}

// update sets a kubbi's state, and notifies the subscribers of a change. After a
// terminal state the subscriptions end.
func (w *watcher) update(k *watchedKubbi, now state) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.kubbis[k.id] != k {
		return // the last subscription has ended
	}
	changed := now != k.seen
	k.seen = now
	uri := kubbiScheme + k.id
	for sub := range k.subscribers {
		if changed {
			sub.send(uri)
		}
		if now.terminal() {
			w.remove(sub, uri)
		}
	}
}
