package relay_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/webhook"
)

// notifyPatience ends a wait for a receipt that will never come.
const notifyPatience = 30 * time.Second

// receiver takes receipts over TLS. It answers 204, or what answers returns, which may
// set headers.
type receiver struct {
	*httptest.Server
	t   testing.TB
	got chan receipt
}

type receipt struct {
	header http.Header
	body   []byte
	api.Receipt
}

func newReceiver(t testing.TB, answers func(http.Header, *http.Request) int) *receiver {
	rc := &receiver{t: t, got: make(chan receipt, 1000)}
	rc.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost {
			return // the sender has gone away
		}
		got := receipt{header: r.Header, body: b}
		decode(t, b, &got.Receipt)
		rc.got <- got
		code := http.StatusNoContent
		if answers != nil {
			code = answers(w.Header(), r)
		}
		w.WriteHeader(code)
	}))
	t.Cleanup(rc.Close)
	return rc
}

// next waits for a receipt, and checks its signature by the specification.
func (rc *receiver) next(apiKey string) receipt {
	rc.t.Helper()
	select {
	case got := <-rc.got:
		secret, err := api.WebhookSecret(apiKey)
		if err != nil {
			rc.t.Fatal(err)
		}
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil {
			rc.t.Fatal(err)
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(got.header.Get("webhook-id") + "." + got.header.Get("webhook-timestamp") + "." + string(got.body)))
		if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); got.header.Get("webhook-signature") != want {
			rc.t.Errorf("signature %q, want %q", got.header.Get("webhook-signature"), want)
		}
		return got
	case <-time.After(notifyPatience):
		rc.t.Fatal("no receipt")
		return receipt{}
	}
}

// none checks that no receipt is there. That is sure only if the test has waited for
// something else.
func (rc *receiver) none() {
	rc.t.Helper()
	select {
	case got := <-rc.got:
		rc.t.Errorf("a receipt too many: %s", got.body)
	default:
	}
}

// outcomes counts the outcomes of attempts.
type outcomes struct {
	mu sync.Mutex
	n  map[webhook.Outcome]int
}

func (o *outcomes) observe(what webhook.Outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.n == nil {
		o.n = map[webhook.Outcome]int{}
	}
	o.n[what]++
}

// wait waits for n outcomes of a kind.
func (o *outcomes) wait(t testing.TB, what webhook.Outcome, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), notifyPatience)
	defer cancel()
	for {
		o.mu.Lock()
		got := o.n[what]
		o.mu.Unlock()
		if got >= n {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%d attempts are %s, want %d", got, what, n)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// telling makes options that allow receivers on loopback.
func telling(o *outcomes, receivers ...*receiver) *webhook.Options {
	options := &webhook.Options{
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, RootCAs: x509.NewCertPool(),
		Poll: 20 * time.Millisecond, Observe: o.observe,
	}
	for _, rc := range receivers {
		options.RootCAs.AddCert(rc.Certificate())
	}
	return options
}

// run has relays deliver until the test ends or stop is called. stop waits for them.
func (tm *team) run(relays ...*relay.Relay) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, rl := range relays {
		running.Go(func() {
			if err := rl.Run(ctx); err != nil {
				tm.t.Error(err)
			}
		})
	}
	stop = func() { cancel(); running.Wait() }
	tm.t.Cleanup(stop)
	return stop
}

// tellBody is a create body with x_notify.
func tellBody(url, more string) string {
	return `{"content":"p4yload","content_type":"text/plain","ttl_seconds":3600,"metadata":{"m":"m3ta"},"x_notify":{"notify_url":"` + url + `"` + more + `}`
}

const producerKey = "kb_producer"

// newTelling is a team with one producer.
func newTelling(t testing.TB, n int, open opener, change func(*relay.Config)) *team {
	tm := newTeam(t, n, open, change)
	tm.key(producerKey, store.APIKey{})
	return tm
}

// TestReceipts checks the body and the headers of the receipt of every event.
func TestReceipts(t *testing.T) {
	overEach(t, func(t *testing.T, open opener) {
		rc := newReceiver(t, nil)
		var seen outcomes
		tm := newTelling(t, 1, open, func(cfg *relay.Config) { cfg.Notify = telling(&seen, rc) })
		tm.run(tm.relays...)
		is := func(c api.CreateResponse, event, status string, retrievals int, max, what string) {
			t.Helper()
			got := rc.next(producerKey)
			want := `{"type":"kubbi.` + event + `","timestamp":"2026-03-28T12:00:00.000Z","data":{"id":"` + c.ID + `","status":"` + status + `",` + what +
				`,"max_retrievals":` + max + `,"retrieval_count":` + string(rune('0'+retrievals)) + `,"created_at":"2026-03-28T12:00:00.000Z","expires_at":"2026-03-28T13:00:00.000Z"}}`
			if event == "expired" {
				want = strings.Replace(want, `"timestamp":"2026-03-28T12`, `"timestamp":"2026-03-28T13`, 1)
			}
			if string(got.body) != want {
				t.Errorf("receipt is %s,\nwant %s", got.body, want)
			}
			for name, want := range map[string]string{"Content-Type": "application/json", "User-Agent": "kubbi-mcp"} {
				if got := got.header.Get(name); got != want {
					t.Errorf("%s is %q", name, got)
				}
			}
			if len(got.header.Get("webhook-id")) != 36 {
				t.Errorf("webhook-id is %q", got.header.Get("webhook-id"))
			}
		}
		const text = `"content_type":"text/plain"`
		c := tm.create(0, producerKey, tellBody(rc.URL, `},"max_retrievals":2`))
		tm.call(0, "", "POST", "/r/"+c.ClaimToken+"/claim", "", key, keyOne)
		is(c, "claimed", "active", 1, "2", text)
		tm.call(0, "", "POST", "/r/"+c.ClaimToken+"/claim", "", key, keyOne) // counts nothing
		if a := tm.call(0, "", "POST", "/r/"+c.ClaimToken+"/claim", ""); a.status != http.StatusOK {
			t.Fatalf("claim: %d %s", a.status, a.body)
		}
		seen.wait(t, webhook.Delivered, 3)
		first, second := rc.next(producerKey), rc.next(producerKey)
		if first.Type == "kubbi.burned" { // two that are sent together may come in any order
			first, second = second, first
		}
		if first.Type != "kubbi.claimed" || second.Type != "kubbi.burned" || second.Data.Status != api.StatusBurned || second.Data.RetrievalCount != 2 {
			t.Errorf("the last claim is told as %s and %s", first.body, second.body)
		}

		c = tm.create(0, producerKey, tellBody(rc.URL, "}"))
		if a := tm.call(0, producerKey, "DELETE", api.PathKubbi+c.ID, ""); a.status != http.StatusOK {
			t.Fatalf("delete: %d %s", a.status, a.body)
		}
		is(c, "deleted", "deleted", 0, "null", text)

		c = tm.create(0, producerKey, `{"files":[{"name":"a","content":"xyz","content_type":"text/plain"}],"ttl_seconds":3600,"x_notify":{"notify_url":"`+rc.URL+`"}}`)
		seen.wait(t, webhook.Delivered, 4) // or its lease ends when the clock moves
		tm.clock.Advance(time.Hour)
		if _, err := tm.relays[0].Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		is(c, "expired", "expired", 0, "null", `"file_count":1,"total_size_bytes":3`)
		seen.wait(t, webhook.Delivered, 5)
		rc.none()
	})
}

// TestReceiptsAskedFor asks for receipts of some events of one kubbi.
func TestReceiptsAskedFor(t *testing.T) {
	rc := newReceiver(t, nil)
	var seen outcomes
	tm := newTelling(t, 1, overSQLite(t), func(cfg *relay.Config) { cfg.Notify = telling(&seen, rc) })
	tm.run(tm.relays...)
	silent := tm.create(0, producerKey, small)
	null := tm.create(0, producerKey, strings.Replace(small, "{", `{"x_notify":null,`, 1))
	c := tm.create(0, producerKey, tellBody(rc.URL, `,"events":["burned","deleted"]},"max_retrievals":1`))
	for _, token := range []string{silent.ClaimToken, null.ClaimToken, c.ClaimToken} {
		if a := tm.call(0, "", "POST", "/r/"+token+"/claim", ""); a.status != http.StatusOK {
			t.Fatalf("claim: %d %s", a.status, a.body)
		}
	}
	if got := rc.next(producerKey); got.Type != "kubbi.burned" || got.Data.ID != c.ID {
		t.Errorf("%s", got.body)
	}
	tm.waitNotices(0)
	rc.none()
}

// waitNotices waits until so many notices are left in the store.
func (tm *team) waitNotices(n int) {
	tm.t.Helper()
	ctx, cancel := context.WithTimeout(tm.t.Context(), notifyPatience)
	defer cancel()
	for {
		s, err := tm.db.Stats(ctx)
		if err != nil {
			tm.t.Fatalf("%v", err)
		}
		if s.Notices == n {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestNotifyFaults sends faulty x_notify in small and large bodies.
func TestNotifyFaults(t *testing.T) {
	on := newTelling(t, 1, overSQLite(t), func(cfg *relay.Config) { cfg.Notify = &webhook.Options{} })
	off := newTelling(t, 1, overSQLite(t), nil)
	large := strings.Repeat("x", 3<<20)
	long := "https://example.com/" + strings.Repeat("x", 9<<10)
	for _, tc := range []struct {
		notify string
		want   []string
	}{
		{`{"notify_url":"https://example.com/hook","events":["claimed","expired"]}`, nil},
		{`{"notify_url":"https://example.com/hook","events":null}`, nil},
		{`null`, nil},
		{`[]`, []string{"x_notify must be an object"}},
		{`"https://example.com"`, []string{"x_notify must be an object"}},
		{`{}`, []string{"x_notify.notify_url is required"}},
		{`{"notify_url":7}`, []string{"x_notify.notify_url must be a string"}},
		{`{"notify_url":"http://example.com"}`, []string{"x_notify.notify_url must be https"}},
		{`{"notify_url":"` + long + `"}`, []string{"x_notify.notify_url must be at most 2048 bytes"}},
		{`{"notify_url":"https://127.0.0.1/","event":["claimed"],"other":1}`, []string{
			"x_notify must have no members but notify_url and events",
			"x_notify.notify_url must not lead to a private or reserved address that the relay's operator has not allowed"}},
		{`{"notify_url":"https://example.com","events":"claimed"}`, []string{"x_notify.events must be an array of 1 to 4 events"}},
		{`{"notify_url":"https://example.com","events":[]}`, []string{"x_notify.events must be an array of 1 to 4 events"}},
		{`{"notify_url":"https://example.com","events":[` + strings.Repeat(`"claimed",`, 5000) + `"claimed"]}`, []string{"x_notify.events must be an array of 1 to 4 events"}},
		{`{"notify_url":"https://example.com","events":["claimed","created","claimed",7]}`, []string{
			"x_notify.events[1] must be one of claimed, burned, expired, deleted",
			"x_notify.events[2] must not be there twice", "x_notify.events[3] must be a string"}},
	} {
		for _, content := range []string{"x", large} {
			body := `{"content":"` + content + `","content_type":"text/plain","ttl_seconds":60,"x_notify":` + tc.notify + `}`
			wantNotifyFaults(t, on.call(0, producerKey, "POST", api.PathKubbis, body), tc.want)
			refused := []string{"x_notify can't be given: the operator of this relay has not turned webhook receipts on"}
			if tc.notify == "null" {
				refused = nil
			}
			wantNotifyFaults(t, off.call(0, producerKey, "POST", api.PathKubbis, body), refused)
		}
	}
}

// wantNotifyFaults is wantFaults, and a create where there are none.
func wantNotifyFaults(t *testing.T, a answer, want []string) {
	t.Helper()
	if want != nil {
		wantFaults(t, a, want)
	} else if a.status != http.StatusCreated {
		t.Errorf("create: %d %.300s", a.status, a.body)
	}
}
