package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/relay/relaytest"
)

// news is a subscriber that keeps its notifications.
type news struct {
	subscriber
	told chan string
}

func newNews() *news {
	n := &news{told: make(chan string, 10_000)}
	n.send = func(uri string) { n.told <- uri }
	return n
}

func (n *news) want(t *testing.T, uri string) {
	t.Helper()
	select {
	case got := <-n.told:
		if got != uri {
			t.Errorf("told of %s, want %s", got, uri)
		}
	case <-time.After(patience):
		t.Fatalf("not told of %s", uri)
	}
}

func (n *news) wantNoMore(t *testing.T) {
	t.Helper()
	select {
	case got := <-n.told:
		t.Errorf("told of %s as well", got)
	default:
	}
}

// newTestWatcher makes a watcher that polls often, and ends with the test.
func newTestWatcher(t *testing.T, c *kubbi.Client, log *slog.Logger) *watcher {
	t.Helper()
	w := newWatcher(c, 20*time.Millisecond, log)
	t.Cleanup(w.close)
	return w
}

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

func send(t testing.TB, c *kubbi.Client, max int) *kubbi.Sent {
	t.Helper()
	sent, err := c.Send(t.Context(), kubbi.SendParams{Content: "x", MaxRetrievals: max})
	if err != nil {
		t.Fatal(err)
	}
	return sent
}

func claim(t testing.TB, c *kubbi.Client, url string) {
	t.Helper()
	if _, err := c.Claim(t.Context(), url); err != nil {
		t.Fatal(err)
	}
}

// until waits until something is true.
func until(t testing.TB, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatal("it does not come to pass")
		case <-time.After(time.Millisecond):
		}
	}
}

// subscriptions gives the URIs that a subscriber has subscribed to.
func (w *watcher) subscriptions(sub *subscriber) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Keys(sub.uris))
}

// running reports whether the watcher has a goroutine and something to watch.
func (w *watcher) running() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if (w.cancel != nil) != (len(w.kubbis) > 0) {
		panic("a goroutine without kubbis, or the other way round")
	}
	return w.cancel != nil
}

// TestReceipts checks the notification of everything that can happen to a kubbi. After
// its end the polling ends.
func TestReceipts(t *testing.T) {
	c, relay := newClient(t)
	w := newTestWatcher(t, c, silent())
	for name, end := range map[string]func(*kubbi.Sent){
		"burned": func(k *kubbi.Sent) { claim(t, c, k.ClaimURL) },
		"deleted": func(k *kubbi.Sent) {
			if _, err := c.Delete(t.Context(), k.ID); err != nil {
				t.Fatal(err)
			}
		},
		"expired": func(*kubbi.Sent) { relay.Clock.Advance(2 * time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			k := send(t, c, 2)
			uri := kubbiScheme + k.ID
			one, two := newNews(), newNews()
			for _, n := range []*news{one, two, one} {
				if err := w.subscribe(t.Context(), &n.subscriber, uri); err != nil {
					t.Fatal(err)
				}
			}
			claim(t, c, k.ClaimURL)
			one.want(t, uri)
			two.want(t, uri)
			w.unsubscribe(&two.subscriber, uri)
			end(k)
			one.want(t, uri)
			if w.running() {
				t.Error("still watched")
			}
			one.wantNoMore(t)
			two.wantNoMore(t)
			if got := w.subscriptions(&one.subscriber); len(got) != 0 {
				t.Errorf("still subscribed: %v", got)
			}
		})
	}
}

// TestSubscribeToEndedKubbi subscribes to a kubbi that has ended: there is one
// notification.
func TestSubscribeToEndedKubbi(t *testing.T) {
	c, _ := newClient(t)
	w := newTestWatcher(t, c, silent())
	k := send(t, c, 1)
	claim(t, c, k.ClaimURL)
	n := newNews()
	if err := w.subscribe(t.Context(), &n.subscriber, kubbiScheme+k.ID); err != nil {
		t.Fatal(err)
	}
	n.want(t, kubbiScheme+k.ID)
	n.wantNoMore(t)
	if w.running() {
		t.Error("still watched")
	}
}

// TestReceiptFromAnotherProcess has two relays with one store. A claim at one of them is
// seen at the other.
func TestReceiptFromAnotherProcess(t *testing.T) {
	dir := t.TempDir()
	var clients [2]*kubbi.Client
	for i := range clients {
		relay := relaytest.New(t, relaytest.WithDir(dir))
		c, err := kubbi.NewClient(relay.APIKey, kubbi.WithBaseURL(relay.URL))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		clients[i] = c
	}
	s, err := New(Config{Client: clients[0]})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	p := connect(t, s)
	p.handshake(t)
	k := send(t, clients[0], 3)
	p.send(t, `{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"kubbi://`+k.ID+`"}}`)
	if got := string(p.receive(t)); got != `{"jsonrpc":"2.0","id":1,"result":{}}`+"\n" {
		t.Fatalf("subscribed: %s", got)
	}
	for range 3 {
		claim(t, clients[1], k.ClaimToken)
		if got := string(p.receive(t)); got != `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"kubbi://`+k.ID+`"}}`+"\n" {
			t.Errorf("got %s", got)
		}
	}
	if s.watcher.running() {
		t.Error("still watched")
	}
	p.hangUp(t)
}

// TestPollManyKubbis polls kubbis on several pages of the list, with few requests.
func TestPollManyKubbis(t *testing.T) {
	var lists, gets atomic.Int64
	count := kubbi.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			switch {
			case r.Method != http.MethodGet:
			case strings.HasSuffix(r.URL.Path, "/kubbis"):
				lists.Add(1)
			default:
				gets.Add(1)
			}
			return next.RoundTrip(r)
		})
	})
	c, _ := newClient(t, count)
	w := newTestWatcher(t, c, silent())
	n := newNews()
	var sent []*kubbi.Sent
	for range 230 {
		sent = append(sent, send(t, c, 0))
	}
	watched := append(append(append([]*kubbi.Sent(nil), sent[:1]...), sent[100:150]...), sent[200:]...)
	for _, k := range watched {
		if err := w.subscribe(t.Context(), &n.subscriber, kubbiScheme+k.ID); err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range watched {
		claim(t, c, k.ClaimURL)
	}
	var want, got []string
	for _, k := range watched {
		want = append(want, kubbiScheme+k.ID)
	}
	for len(got) < len(want) {
		select {
		case uri := <-n.told:
			if !slices.Contains(got, uri) {
				got = append(got, uri)
			}
		case <-time.After(patience):
			t.Fatalf("told of %d, want %d", len(got), len(want))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("told of %v, want %v", got, want)
	}
	w.drop(&n.subscriber)
	if w.running() || len(w.subscriptions(&n.subscriber)) > 0 {
		t.Error("still watched")
	}

	// One poll: two pages show all but one of them, which is asked for.
	n = newNews()
	for _, k := range watched {
		if err := w.subscribe(t.Context(), &n.subscriber, kubbiScheme+k.ID); err != nil {
			t.Fatal(err)
		}
	}
	w.mu.Lock()
	w.cancel() // the goroutine, which would poll as well
	w.mu.Unlock()
	w.polls.Wait()
	lists.Store(0)
	gets.Store(0)
	if err := w.poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if lists.Load() != 3 && (lists.Load() != 2 || gets.Load() != 1) {
		t.Errorf("%d kubbis took %d pages and %d requests", len(watched), lists.Load(), gets.Load())
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestPollThroughOutage claims while the relay can't be reached. The log has one
// line about the outage, and one about its end.
func TestPollThroughOutage(t *testing.T) {
	var down atomic.Bool
	var failed atomic.Int64
	cut := kubbi.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if down.Load() {
				failed.Add(1)
				return nil, errors.New("the network is down")
			}
			return next.RoundTrip(r)
		})
	})
	c, relay := newClient(t, cut)
	other, err := kubbi.NewClient(relay.APIKey, kubbi.WithBaseURL(relay.URL))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	var log syncBuffer
	w := newTestWatcher(t, c, slog.New(slog.NewTextHandler(&log, nil)))
	k, stays := send(t, c, 1), send(t, c, 1)
	n := newNews()
	for _, id := range []string{k.ID, stays.ID} {
		if err := w.subscribe(t.Context(), &n.subscriber, kubbiScheme+id); err != nil {
			t.Fatal(err)
		}
	}
	down.Store(true)
	claim(t, other, k.ClaimURL)
	until(t, func() bool {
		w.changed() // must not shorten the pause
		return failed.Load() >= 3
	})
	n.wantNoMore(t)
	down.Store(false)
	n.want(t, kubbiScheme+k.ID)
	until(t, func() bool { return strings.Contains(log.String(), "watch kubbis again") })
	w.close()
	if got := log.String(); strings.Count(got, "\n") != 2 {
		t.Errorf("log: %s", got)
	}
}

func TestPauseBetweenPolls(t *testing.T) {
	w := newWatcher(nil, time.Second, nil)
	busy := func(after time.Duration) error {
		return fmt.Errorf("poll: %w", &kubbi.Error{Status: 429, RetryAfter: after})
	}
	for _, tt := range []struct {
		failed int
		err    error
		want   time.Duration
	}{
		{1, errors.New("x"), 2 * time.Second},
		{3, errors.New("x"), 8 * time.Second},
		{5, errors.New("x"), 30 * time.Second},
		{1000, errors.New("x"), 30 * time.Second},
		{1, busy(0), 2 * time.Second},
		{1, busy(time.Minute), time.Minute},
		{6, busy(time.Second), 30 * time.Second},
		{1, busy(24 * time.Hour), 10 * time.Minute},
	} {
		if got := w.pause(tt.failed, tt.err); got != tt.want {
			t.Errorf("after %d times %v: %v, want %v", tt.failed, tt.err, got, tt.want)
		}
	}
}

// TestSubscribeRefuses checks why subscriptions are refused, and that nothing is left of
// them.
func TestSubscribeRefuses(t *testing.T) {
	c, relay := newClient(t)
	key, err := relay.Local.CallerKey(t.Context(), "somebody else")
	if err != nil {
		t.Fatal(err)
	}
	other, err := kubbi.NewClient(key, kubbi.WithBaseURL(relay.URL))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	w := newTestWatcher(t, c, silent())
	n := newNews()
	theirs := send(t, other, 1)
	for _, uri := range []string{
		kubbiScheme + theirs.ID, // reads like one that does not exist
		"kubbi://00000000-0000-4000-8000-000000000000",
		"kubbi://abc", "kubbi://", "", "kubbi:" + theirs.ID, "file:///x", theirs.ClaimURL, kubbiScheme + theirs.ClaimToken,
		kubbiScheme + strings.ToUpper(theirs.ID),
	} {
		if err := w.subscribe(t.Context(), &n.subscriber, uri); err != errNoResource {
			t.Errorf("%q: %v", uri, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	ours := send(t, c, 1)
	if err := w.subscribe(ended, &n.subscriber, kubbiScheme+ours.ID); err == nil || err == errNoResource {
		t.Errorf("with a context that has ended: %v", err)
	}
	for i := range maxSubscriptions {
		if err := w.addOther(&n.subscriber, fmt.Sprint("test://", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.subscribe(t.Context(), &n.subscriber, kubbiScheme+ours.ID); err != errTooManySubscriptions {
		t.Errorf("one too many: %v", err)
	}
	if err := w.addOther(&n.subscriber, "test://one/more"); err != errTooManySubscriptions {
		t.Errorf("one too many: %v", err)
	}
	w.unsubscribe(&n.subscriber, "test://7")
	if err := w.subscribe(t.Context(), &n.subscriber, kubbiScheme+ours.ID); err != nil {
		t.Errorf("in the place of another: %v", err)
	}
	w.unsubscribe(&n.subscriber, "kubbi://never/subscribed")
	w.drop(&n.subscriber)
	if w.running() {
		t.Error("still watched")
	}
	if err := w.subscribe(t.Context(), &n.subscriber, kubbiScheme+ours.ID); err != errEnded {
		t.Errorf("after it was dropped: %v", err)
	}
	w.close()
	if err := w.subscribe(t.Context(), &newNews().subscriber, kubbiScheme+ours.ID); err != errEnded {
		t.Errorf("after close: %v", err)
	}
}

// TestSubscribeInParallel is for the race detector. It must leave no goroutine.
func TestSubscribeInParallel(t *testing.T) {
	c, _ := newClient(t)
	w := newTestWatcher(t, c, silent())
	k := send(t, c, 0)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				n := newNews()
				if err := w.subscribe(t.Context(), &n.subscriber, kubbiScheme+k.ID); err != nil {
					t.Error(err)
				}
				w.changed()
				w.subscriptions(&n.subscriber)
				w.drop(&n.subscriber)
			}
		})
	}
	all.Wait()
	if w.running() {
		t.Error("still watched")
	}
}
