package relay_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/sqlite"
	"kubbi-mcp/relay/webhook"
)

// claimed creates a kubbi and claims it, so that there is a notice.
func (tm *team) claimed(node int, url string) api.CreateResponse {
	tm.t.Helper()
	c := tm.create(node, producerKey, tellBody(url, `,"events":["claimed"]}`))
	if a := tm.call(node, "", "POST", "/r/"+c.ClaimToken+"/claim", ""); a.status != http.StatusOK {
		tm.t.Fatalf("claim: %d %s", a.status, a.body)
	}
	return c
}

// claimedTimes creates a kubbi and claims it n times at all nodes, so that there are n
// notices.
func (tm *team) claimedTimes(n int, url string) {
	tm.t.Helper()
	c := tm.create(0, producerKey, tellBody(url, "}"))
	for i := range n {
		if a := tm.call(i%len(tm.nodes), "", "POST", "/r/"+c.ClaimToken+"/claim", ""); a.status != http.StatusOK {
			tm.t.Fatalf("claim: %d %s", a.status, a.body)
		}
	}
}

// notDue checks that after d no notice is due yet.
func (tm *team) notDue(d time.Duration) {
	tm.t.Helper()
	got, err := tm.db.Notices(tm.t.Context(), tm.clock.Now().Add(d), 0, 1)
	if err != nil || len(got) != 0 {
		tm.t.Errorf("%d notices are due after %v, error %v", len(got), d, err)
	}
}

// TestReceiptsAreTriedAgain has a receiver that fails in every attempt.
func TestReceiptsAreTriedAgain(t *testing.T) {
	overEach(t, func(t *testing.T, open opener) {
		rc := newReceiver(t, func(http.Header, *http.Request) int { return http.StatusInternalServerError })
		var seen outcomes
		var logged lockedBuffer
		tm := newTelling(t, 1, open, func(cfg *relay.Config) {
			cfg.Notify, cfg.Logger = telling(&seen, rc), slog.New(slog.NewTextHandler(&logged, nil))
		})
		tm.run(tm.relays...)
		c := tm.claimed(0, rc.URL+"/s3cret-path?s3cret=query")
		first := rc.next(producerKey)
		for i, wait := range []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour} {
			seen.wait(t, webhook.Failed, i+1)
			tm.notDue(wait - time.Millisecond)
			tm.clock.Advance(wait + wait/5 + time.Second)
			got := rc.next(producerKey)
			if got.header.Get("webhook-id") != first.header.Get("webhook-id") || !bytes.Equal(got.body, first.body) {
				t.Errorf("attempt %d: %v, %s", i+2, got.header, got.body)
			}
			if want := strconv.FormatInt(tm.clock.Now().Unix(), 10); got.header.Get("webhook-timestamp") != want {
				t.Errorf("attempt %d is of %s, want %s", i+2, got.header.Get("webhook-timestamp"), want)
			}
		}
		seen.wait(t, webhook.GivenUp, 1)
		tm.waitNotices(0)
		rc.none()
		out := logged.String()
		host := strings.TrimPrefix(rc.URL, "https://")
		if !strings.Contains(out, `msg="webhook given up" kubbi=`+c.ID) || !strings.Contains(out, "host="+host) || strings.Contains(out, "s3cret") {
			t.Errorf("logged: %s", out)
		}
	})
}

// TestReceiverIsMinded has receivers whose answers decide what comes next.
func TestReceiverIsMinded(t *testing.T) {
	elsewhere := newReceiver(t, nil)
	for name, tc := range map[string]struct {
		status int
		header [2]string
		again  time.Duration // 0: never
	}{
		"gone":         {http.StatusGone, [2]string{}, 0},
		"busy":         {http.StatusServiceUnavailable, [2]string{"Retry-After", "120"}, 2 * time.Minute},
		"redirect":     {http.StatusTemporaryRedirect, [2]string{"Location", elsewhere.URL}, 5 * time.Second},
		"not modified": {http.StatusNotModified, [2]string{}, 5 * time.Second},
		"wrong":        {http.StatusBadRequest, [2]string{}, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			var calm atomic.Bool
			rc := newReceiver(t, func(h http.Header, _ *http.Request) int {
				if calm.Load() {
					return http.StatusOK
				}
				if tc.header[0] != "" {
					h.Set(tc.header[0], tc.header[1])
				}
				return tc.status
			})
			var seen outcomes
			tm := newTelling(t, 1, overSQLite(t), func(cfg *relay.Config) { cfg.Notify = telling(&seen, rc, elsewhere) })
			tm.run(tm.relays...)
			tm.claimed(0, rc.URL)
			rc.next(producerKey)
			if tc.again == 0 {
				seen.wait(t, webhook.GivenUp, 1)
				tm.waitNotices(0)
				return
			}
			seen.wait(t, webhook.Failed, 1)
			tm.notDue(tc.again - time.Millisecond)
			calm.Store(true)
			tm.clock.Advance(2 * tc.again)
			rc.next(producerKey)
			seen.wait(t, webhook.Delivered, 1)
			tm.waitNotices(0)
			elsewhere.none()
		})
	}
}

// TestSlowReceiver has one receiver hang, with more notices than attempts may run at the
// same time. Other receivers get theirs, and the relay stops without waiting.
func TestSlowReceiver(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	slow := newReceiver(t, func(_ http.Header, r *http.Request) int {
		select {
		case <-release:
		case <-r.Context().Done():
		}
		return http.StatusOK
	})
	fast := newReceiver(t, nil)
	var seen outcomes
	tm := newTelling(t, 2, overSQLite(t), func(cfg *relay.Config) { cfg.Notify = telling(&seen, slow, fast) })
	stop := tm.run(tm.relays[0])
	const n = 20
	for range n {
		tm.claimed(0, slow.URL)
	}
	slow.next(producerKey)
	slow.next(producerKey)
	c := tm.claimed(0, fast.URL)
	if got := fast.next(producerKey); got.Data.ID != c.ID {
		t.Errorf("%s", got.body)
	}
	seen.wait(t, webhook.Delivered, 1)
	slow.none() // no third attempt beside the two
	stop()
	close(release)

	// Notices whose attempt was cut off or had not started are due for another node at once.
	tm.run(tm.relays[1])
	for range n {
		slow.next(producerKey)
	}
	seen.wait(t, webhook.Delivered, n+1)
	tm.waitNotices(0)
	slow.none()
}

// TestBacklog has more notices of one host than the outbox holds.
func TestBacklog(t *testing.T) {
	overEach(t, func(t *testing.T, open opener) {
		rc := newReceiver(t, nil)
		var seen outcomes
		tm := newTelling(t, 2, open, func(cfg *relay.Config) { cfg.Notify = telling(&seen, rc) })
		const n = 300
		tm.claimedTimes(n, rc.URL)
		tm.run(tm.relays...) // both of them
		seen.wait(t, webhook.Delivered, n)
		tm.waitNotices(0)
		ids := map[string]bool{}
		for range n {
			ids[rc.next(producerKey).header.Get("webhook-id")] = true
		}
		rc.none()
		if len(ids) != n {
			t.Errorf("%d different receipts, want %d", len(ids), n)
		}
	})
}

// TestBacklogOfSlowReceiver has more notices of a receiver that hangs than the outbox
// holds. Another receiver still gets its receipt.
func TestBacklogOfSlowReceiver(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	slow := newReceiver(t, func(_ http.Header, r *http.Request) int {
		select {
		case <-release:
		case <-r.Context().Done():
		}
		return http.StatusOK
	})
	defer close(release)
	fast := newReceiver(t, nil)
	var seen outcomes
	tm := newTelling(t, 1, overSQLite(t), func(cfg *relay.Config) { cfg.Notify = telling(&seen, slow, fast) })
	const n = 300
	tm.claimedTimes(n, slow.URL)
	c := tm.claimed(0, fast.URL)
	defer tm.run(tm.relays...)()
	if got := fast.next(producerKey); got.Data.ID != c.ID {
		t.Errorf("%s", got.body)
	}
	seen.wait(t, webhook.Delivered, 1)
	tm.waitNotices(n)
}

// forgetful is the store of a node that dies after a post, before its result is stored.
type forgetful struct{ store.Store }

func (forgetful) NoticeDone(context.Context, string) error { return store.ErrUnavailable }

// TestLostBetweenPostAndDone has another node deliver again, with the same id.
func TestLostBetweenPostAndDone(t *testing.T) {
	overEach(t, func(t *testing.T, open opener) {
		rc := newReceiver(t, nil)
		var seen outcomes
		first := true
		tm := newTelling(t, 2, open, func(cfg *relay.Config) {
			cfg.Notify = telling(&seen, rc)
			if first {
				cfg.Store, first = forgetful{cfg.Store}, false
			}
		})
		stop := tm.run(tm.relays[0])
		tm.claimed(0, rc.URL)
		id := rc.next(producerKey).header.Get("webhook-id")
		seen.wait(t, webhook.Delivered, 1)
		stop()
		tm.run(tm.relays[1])
		tm.notDue(time.Minute)
		tm.clock.Advance(3 * time.Minute)
		if again := rc.next(producerKey).header.Get("webhook-id"); again != id {
			t.Errorf("delivered again with id %s, first %s", again, id)
		}
		tm.waitNotices(0)
	})
}

// TestNameLeadsElsewhere has a name that resolves to an allowed address, and then to
// another one.
func TestNameLeadsElsewhere(t *testing.T) {
	rc := newReceiver(t, nil)
	rc.Config.SetKeepAlivesEnabled(false)
	var inner atomic.Bool
	resolver := resolverOf(t, func() netip.Addr {
		if inner.Load() {
			return netip.MustParseAddr("127.0.0.2")
		}
		return netip.MustParseAddr("127.0.0.1")
	})
	var trapped atomic.Int64
	port := rc.URL[strings.LastIndex(rc.URL, ":"):]
	trap, err := net.Listen("tcp", "127.0.0.2"+port)
	if err != nil {
		t.Logf("nobody listens on 127.0.0.2, where nothing should arrive: %v", err)
	} else {
		srv := httptest.NewUnstartedServer(http.NotFoundHandler())
		srv.Listener.Close()
		srv.Listener = trap
		srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				trapped.Add(1)
			}
		}
		srv.Start()
		t.Cleanup(srv.Close)
	}
	var seen outcomes
	var logged lockedBuffer
	tm := newTelling(t, 1, overSQLite(t), func(cfg *relay.Config) {
		cfg.Notify, cfg.Logger = telling(&seen, rc), slog.New(slog.NewTextHandler(&logged, nil))
		cfg.Notify.Resolver = resolver
	})
	tm.run(tm.relays...)
	const name = "example.com" // the receiver has a certificate for it
	tm.claimed(0, "https://"+name+port+"/")
	rc.next(producerKey)
	inner.Store(true)
	tm.claimed(0, "https://"+name+port+"/")
	seen.wait(t, webhook.Failed, 1)
	if n := trapped.Load(); n != 0 {
		t.Errorf("%d connections to an address that may not be told", n)
	}
	if out := logged.String(); !strings.Contains(out, "not one that may be dialled") || !strings.Contains(out, "host="+name) {
		t.Errorf("logged: %s", out)
	}
	inner.Store(false)
	// Plain http works too, because the operator has allowed this address.
	plain := httptest.NewServer(rc.Config.Handler)
	t.Cleanup(plain.Close)
	tm.claimed(0, strings.Replace(plain.URL, "127.0.0.1", name, 1))
	rc.next(producerKey)
	rc.none()
}

// resolverOf resolves every name to one address, by a name server of its own.
func resolverOf(t *testing.T, addr func() netip.Addr) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	t.Cleanup(func() { _ = conn.Close(); <-served })
	go func() {
		defer close(served)
		buf := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(dnsAnswer(buf[:n], addr()), from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// dnsAnswer answers a question for an IPv4 address with addr, and every other question
// with nothing (RFC 1035).
func dnsAnswer(query []byte, addr netip.Addr) []byte {
	const header = 12
	end := header
	for query[end] != 0 { // labels
		end += int(query[end]) + 1
	}
	end += 5 // the root, type and class
	out := bytes.Clone(query[:end])
	out[2], out[3] = 0x84, 0 // an answer, with authority
	answers := uint16(0)
	if kind := binary.BigEndian.Uint16(query[end-4:]); kind == 1 {
		answers = 1
		out = append(out, 0xc0, header, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
		out = append(out, addr.AsSlice()...)
	}
	binary.BigEndian.PutUint16(out[6:], answers)
	binary.BigEndian.PutUint32(out[8:], 0) // no other sections
	return out
}

// TestNotifySecrets looks for the target and its secret in the store's files and in the
// log.
func TestNotifySecrets(t *testing.T) {
	rc := newReceiver(t, func(http.Header, *http.Request) int { return http.StatusInternalServerError })
	dir := t.TempDir()
	open := func() (store.Store, error) {
		return sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(dir, "kubbi.db")})
	}
	var seen outcomes
	var logged lockedBuffer
	tm := newTelling(t, 1, open, func(cfg *relay.Config) {
		cfg.Notify = telling(&seen, rc)
		cfg.Logger = slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	tm.run(tm.relays...)
	c := tm.create(0, producerKey, tellBody(rc.URL+"/hook-m4rker", "}"))
	tm.claimed(0, rc.URL+"/hook-m4rker")
	got := rc.next(producerKey)
	seen.wait(t, webhook.Failed, 1)
	if find(t, dir, []byte(producerKey)) == "" || find(t, dir, []byte(c.ID[:8])) == "" && find(t, dir, []byte("text/plain")) == "" {
		t.Fatal("the search finds nothing at all")
	}
	secret, err := api.WebhookSecret(producerKey)
	if err != nil {
		t.Fatal(err)
	}
	secret = strings.TrimPrefix(secret, api.WebhookSecretPrefix)
	for name, needle := range map[string]string{
		"path": "hook-m4rker", "host": strings.TrimPrefix(rc.URL, "https://"), "secret": secret, "half the secret": secret[20:],
	} {
		if file := find(t, dir, []byte(needle)); file != "" {
			t.Errorf("%s holds the %s", file, name)
		}
		if name != "host" && strings.Contains(logged.String(), needle) {
			t.Errorf("the log holds the %s", name)
		}
	}
	for name, needle := range map[string]string{"payload": "p4yload", "metadata": "m3ta", "claim token": c.ClaimToken, "target": "m4rker"} {
		if bytes.Contains(got.body, []byte(needle)) {
			t.Errorf("the receipt holds the %s: %s", name, got.body)
		}
	}
}
