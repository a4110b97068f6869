package relay_test

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/store"
)

// waited is the answer to a request that may have waited.
type waited struct {
	answer
	took time.Duration
}

// applied is what the relay says that it did.
func (w waited) applied() string { return w.header.Get(api.HeaderPreferenceApplied) }

// waitFor starts a request that waits, and returns when the relay has it.
func (tm *team) waitFor(node int, key, path string, headers ...string) <-chan waited {
	tm.t.Helper()
	before := tm.relays[node].Waiting()
	done := make(chan waited, 1)
	go func() {
		start := time.Now()
		a := tm.call(node, key, "GET", path, "", headers...)
		done <- waited{a, time.Since(start)}
	}()
	testkit.Await(tm.t, "the relay has the request, or has answered it", func() bool { return tm.relays[node].Waiting() > before || len(done) > 0 })
	return done
}

// claims claims a kubbi at a node.
func (tm *team) claim(node int, c api.CreateResponse) {
	tm.t.Helper()
	if a := tm.call(node, "", "POST", tokenPath(c)+api.SuffixClaim, ""); a.status != http.StatusOK {
		tm.t.Errorf("claim: %d %.300s", a.status, a.body)
	}
}

func tokenPath(c api.CreateResponse) string {
	return api.PathClaim + c.ClaimURL[strings.LastIndex(c.ClaimURL, "/")+1:]
}

const noLimit = `{"content":"x","content_type":"text/plain","ttl_seconds":3600}`

// A request that waits is answered when the kubbi was claimed, burned or deleted, at this
// node or at another one.
func TestWaitEndsWithAChange(t *testing.T) {
	overEach(t, func(t *testing.T, open opener) {
		tm := newTeam(t, 2, open, nil)
		key := tm.key("kb_a", store.APIKey{})
		claim := func(node int, c api.CreateResponse) { tm.claim(node, c) }
		remove := func(node int, c api.CreateResponse) { tm.call(node, key, "DELETE", api.PathKubbi+c.ID, "") }
		for name, change := range map[string]struct {
			body         string
			do           func(int, api.CreateResponse)
			get, inspect string // parts of the answers
		}{
			"claimed": {noLimit, claim, `"retrieval_count":1`, `"retrieval_count":1`},
			"burned":  {`{"content":"x","content_type":"text/plain","ttl_seconds":3600,"max_retrievals":1}`, claim, `"status":"burned"`, `"error":"gone"`},
			"deleted": {noLimit, remove, `"status":"deleted"`, `"error":"gone"`},
		} {
			for by := range 2 {
				c := tm.create(0, key, change.body)
				all := map[<-chan waited]string{
					tm.waitFor(0, key, api.PathKubbi+c.ID, api.HeaderPrefer, "wait=40"):                             change.get,
					tm.waitFor(0, "", tokenPath(c)+api.SuffixInspect, api.HeaderPrefer, "wait=40"):                  change.inspect,
					tm.waitFor(0, "", tokenPath(c), api.HeaderPrefer, "wait=40", "Accept", "*/*"):                   change.inspect,
					tm.waitFor(1, key, api.PathKubbi+c.ID, api.HeaderPrefer, "wait=40, respond-async"):              change.get,
					tm.waitFor(1, key, api.PathKubbi+c.ID, api.HeaderPrefer, "wait=40", api.HeaderSeen, "active/0"): change.get,
				}
				change.do(by, c)
				for done, part := range all {
					got := testkit.Receive(t, done, "answer")
					if got.took > 20*time.Second || got.applied() != "wait=40" || !strings.Contains(string(got.body), part) {
						t.Errorf("%s by node %d: after %v %q %s, want %s", name, by, got.took, got.applied(), got.body, part)
					}
				}
			}
		}
		for status, do := range map[api.RequestStatus]func(node int, q teamAsk) answer{
			api.RequestAnswered: func(node int, q teamAsk) answer {
				return tm.call(node, "", "POST", q.question, sealedAnswer("eWVz"))
			},
			api.RequestWithdrawn: func(node int, q teamAsk) answer { return tm.call(node, key, "DELETE", api.PathRequest+q.ID, "") },
		} {
			for by := range 2 {
				q := tm.ask(0, key, askBody)
				all := []<-chan waited{
					tm.waitFor(0, key, api.PathRequest+q.ID, api.HeaderPrefer, "wait=40"),
					tm.waitFor(1, key, api.PathRequest+q.ID, api.HeaderPrefer, "wait=40", api.HeaderSeen, "pending/0"),
				}
				if a := do(by, q); a.status/100 != 2 {
					t.Errorf("%s: %d %s", status, a.status, a.body)
				}
				for _, done := range all {
					got := testkit.Receive(t, done, "answer")
					if got.took > 20*time.Second || got.applied() != "wait=40" || !strings.Contains(string(got.body), `"status":"`+string(status)+`"`) {
						t.Errorf("%s by node %d: after %v %q %s", status, by, got.took, got.applied(), got.body)
					}
				}
			}
		}
		for node, rl := range tm.relays {
			if n := rl.Waiting(); n != 0 {
				t.Errorf("%d requests still wait at node %d", n, node)
			}
		}
	})
}

// No change is missed, whenever it comes.
func TestWaitMissesNoChange(t *testing.T) {
	tm := newTeam(t, 2, overSQLite(t), nil)
	key := tm.key("kb_a", store.APIKey{})
	for n := range 50 {
		c := tm.create(0, key, noLimit)
		var wg sync.WaitGroup
		wg.Go(func() {
			time.Sleep(rand.N(4 * time.Millisecond))
			start := time.Now()
			a := tm.call(0, key, "GET", api.PathKubbi+c.ID, "", api.HeaderPrefer, "wait=20", api.HeaderSeen, "active/0")
			if took := time.Since(start); took > 10*time.Second || !strings.Contains(string(a.body), `"retrieval_count":1`) {
				t.Errorf("after %v %s", took, a.body)
			}
		})
		wg.Go(func() {
			time.Sleep(rand.N(4 * time.Millisecond))
			tm.claim(n%2, c)
		})
		wg.Wait()
	}
}

// Without a change the answer comes when the time is over.
func TestWaitRunsOut(t *testing.T) {
	t.Parallel() // it sleeps
	tm := newTeam(t, 1, overSQLite(t), nil)
	key := tm.key("kb_a", store.APIKey{})
	c := tm.create(0, key, noLimit)
	other := tm.create(0, key, noLimit)
	done := tm.waitFor(0, key, api.PathKubbi+c.ID, api.HeaderPrefer, "wait=1")
	tm.claim(0, other) // is nothing to it
	got := testkit.Receive(t, done, "answer")
	if got.status != http.StatusOK || got.took < time.Second || got.applied() != "wait=1" || !strings.Contains(string(got.body), `"retrieval_count":0`) {
		t.Errorf("after %v %q %d %s", got.took, got.applied(), got.status, got.body)
	}
}

// A kubbi expires at its time, without a sweep.
func TestWaitEndsWithExpiry(t *testing.T) {
	t.Parallel() // it sleeps
	tm := newTeam(t, 1, overSQLite(t), func(cfg *relay.Config) {
		cfg.Limits = api.DefaultLimits()
		cfg.Limits.MinTTLSeconds, cfg.Now = 1, time.Now
	})
	key := tm.key("kb_a", store.APIKey{})
	c := tm.create(0, key, `{"content":"x","content_type":"text/plain","ttl_seconds":1}`)
	get := tm.waitFor(0, key, api.PathKubbi+c.ID, api.HeaderPrefer, "wait=40")
	inspect := tm.waitFor(0, "", tokenPath(c)+api.SuffixInspect, api.HeaderPrefer, "wait=40")
	for part, done := range map[string]<-chan waited{`"status":"expired"`: get, `"error":"expired"`: inspect} {
		got := testkit.Receive(t, done, "answer")
		if late := time.Since(c.ExpiresAt.Time); got.took > 20*time.Second || late < 0 || !strings.Contains(string(got.body), part) {
			t.Errorf("%v after the end, after %v: %s", late, got.took, got.body)
		}
	}
}

// What need not wait is answered at once: an ended or unknown kubbi, and a state that the
// client does not know.
func TestWaitAtOnce(t *testing.T) {
	tm := newTeam(t, 1, overSQLite(t), func(cfg *relay.Config) { cfg.GuessLimit = 1 })
	key := tm.key("kb_a", store.APIKey{})
	c := tm.create(0, key, noLimit)
	path := api.PathKubbi + c.ID
	for prefer, applied := range map[string]string{
		"wait=7": "wait=7", "wait=50": "wait=50", "wait=51": "wait=50", "wait=4000000000": "wait=50",
		"Wait = 7": "wait=7", `wait="7"`: "wait=7", "wait=7;x=1;y": "wait=7", `handling=lenient, wait=7`: "wait=7", "wait=7, wait=9": "wait=7",
		"wait=0": "", "wait": "", "wait=": "", "wait=x": "", "wait=-1": "", "wait=7.5": "", "wait=99999999999999999999": "", "waits=7": "", "x; wait=7": "", ",": "",
	} {
		a := tm.call(0, key, "GET", path, "", api.HeaderPrefer, prefer, api.HeaderSeen, "active/1")
		if got := a.header.Get(api.HeaderPreferenceApplied); got != applied || a.status != http.StatusOK {
			t.Errorf("%q: %d, applied %q, want %q", prefer, a.status, got, applied)
		}
	}
	a := tm.call(0, key, "GET", path, "", api.HeaderPrefer, "respond-async", api.HeaderPrefer, "wait=7", api.HeaderSeen, "x")
	if got := a.header.Get(api.HeaderPreferenceApplied); got != "wait=7" {
		t.Errorf("in a second header: %q", got)
	}
	unknown := "/r/" + strings.Repeat("A", 43) + api.SuffixInspect
	wantError(t, tm.call(0, "", "GET", unknown, "", api.HeaderPrefer, "wait=40"), api.CodeNotFound, "")
	wantError(t, tm.call(0, "", "GET", unknown, "", api.HeaderPrefer, "wait=40"), api.CodeRateLimited, "") // a guess, like any other
	wantError(t, tm.call(0, "kb_wrong", "GET", path, "", api.HeaderPrefer, "wait=40"), api.CodeRateLimited, "")
	tm.call(0, key, "DELETE", path, "")
	if a := tm.call(0, key, "GET", path, "", api.HeaderPrefer, "wait=40"); a.header.Get(api.HeaderPreferenceApplied) != "wait=40" || !strings.Contains(string(a.body), `"deleted"`) {
		t.Errorf("%v %s", a.header, a.body)
	}
}

// A flood of waits leaves room for others. What may not wait is answered at once.
func TestWaitLimits(t *testing.T) {
	tm := newTeam(t, 1, overSQLite(t), func(cfg *relay.Config) { cfg.MaxWaits = 40 })
	key, other := tm.key("kb_a", store.APIKey{}), tm.key("kb_b", store.APIKey{})
	c := tm.create(0, key, noLimit)
	var all []<-chan waited
	flood := func(key, path string, n int) {
		for range n {
			all = append(all, tm.waitFor(0, key, path, api.HeaderPrefer, "wait=40"))
		}
		for range 3 {
			if a := tm.call(0, key, "GET", path, "", api.HeaderPrefer, "wait=40"); a.status != http.StatusOK || a.header.Get(api.HeaderPreferenceApplied) != "" {
				t.Errorf("%s: %d %v", path, a.status, a.header)
			}
		}
	}
	flood(key, api.PathKubbi+c.ID, 10) // a quarter
	flood("", tokenPath(c)+api.SuffixInspect, 10)
	d := tm.create(0, other, noLimit)
	flood(other, api.PathKubbi+d.ID, 10)
	third := tm.key("kb_c", store.APIKey{})
	e := tm.create(0, third, noLimit)
	flood(third, api.PathKubbi+e.ID, 10)
	fourth := tm.key("kb_d", store.APIKey{})
	f := tm.create(0, fourth, noLimit)
	flood(fourth, api.PathKubbi+f.ID, 0) // none is left
	for _, c := range []api.CreateResponse{c, d, e} {
		tm.claim(0, c)
	}
	for _, done := range all {
		if got := testkit.Receive(t, done, "answer"); got.applied() != "wait=40" || !strings.Contains(string(got.body), `"retrieval_count":1`) {
			t.Errorf("%q %s", got.applied(), got.body)
		}
	}
	testkit.Receive(t, tm.waitFor(0, fourth, api.PathKubbi+f.ID, api.HeaderPrefer, "wait=1"), "answer")
}

// countedLooks counts the calls of States, and the other reads.
type countedLooks struct {
	store.Store
	looks, reads atomic.Int64
	before       atomic.Pointer[func()] // is called once, before a look
	quiet        atomic.Bool            // nothing is written any more, not even by the store's housekeeping
}

func (s *countedLooks) States(ctx context.Context, numbers []store.Number, since store.Mark, now time.Time) ([]store.State, store.Mark, error) {
	s.looks.Add(1)
	if f := s.before.Swap(nil); f != nil {
		(*f)()
		s.quiet.Store(true)
	} else if s.quiet.Load() && since != 0 {
		return nil, since, nil
	}
	return s.Store.States(ctx, numbers, since, now)
}

func (s *countedLooks) Get(ctx context.Context, owner, id string, now time.Time) (*store.Kubbi, error) {
	s.reads.Add(1)
	return s.Store.Get(ctx, owner, id, now)
}

// A request comes, and another node changes its kubbi, just after a look has begun without it.
func TestWaitBeginsDuringALook(t *testing.T) {
	var db *countedLooks
	tm := newTeam(t, 2, overSQLite(t), func(cfg *relay.Config) {
		if db == nil { // of node 0
			db = &countedLooks{Store: cfg.Store}
			cfg.Store = db
		}
	})
	key := tm.key("kb_a", store.APIKey{})
	first, second := tm.create(0, key, noLimit), tm.create(0, key, noLimit)
	begun := make(chan (<-chan waited), 1)
	during := func() {
		reads := db.reads.Load()
		done := tm.waitFor(0, key, api.PathKubbi+second.ID, api.HeaderPrefer, "wait=40")
		testkit.Await(t, "it has read the kubbi", func() bool { return db.reads.Load() > reads })
		time.Sleep(20 * time.Millisecond) // so that it waits; the test holds without that
		tm.claim(1, second)
		begun <- done
	}
	tm.claim(1, first) // so that the look has something to find
	held := tm.waitFor(0, key, api.PathKubbi+first.ID, api.HeaderPrefer, "wait=40")
	db.before.Store(&during)
	got := testkit.Receive(t, testkit.Receive(t, begun, "look"), "answer")
	if got.took > 20*time.Second || !strings.Contains(string(got.body), `"retrieval_count":1`) {
		t.Errorf("after %v %s", got.took, got.body)
	}
	db.quiet.Store(false)
	tm.claim(1, first)
	testkit.Receive(t, held, "answer")
}

// All requests that wait share one look at the store. Nothing looks while nobody waits.
func TestWaitsShareALook(t *testing.T) {
	const many = 50
	var db *countedLooks
	tm := newTeam(t, 1, overSQLite(t), func(cfg *relay.Config) {
		db = &countedLooks{Store: cfg.Store}
		cfg.Store = db
	})
	key := tm.key("kb_a", store.APIKey{})
	var kubbis []api.CreateResponse
	for range many {
		kubbis = append(kubbis, tm.create(0, key, noLimit))
	}
	if db.looks.Load() != 0 {
		t.Error("somebody looks before anybody waits")
	}
	begin := time.Now()
	var all []<-chan waited
	for _, c := range kubbis {
		all = append(all, tm.waitFor(0, key, api.PathKubbi+c.ID, api.HeaderPrefer, "wait=40"))
	}
	testkit.Await(t, "some looks", func() bool { return db.looks.Load() > 3 })
	looks, reads := db.looks.Load(), db.reads.Load()
	if most := int64(time.Since(begin)/minLookPause) + 2; looks > most || reads > 3*many {
		t.Errorf("%d looks, at most %d expected; %d reads of %d kubbis", looks, most, reads, many)
	}
	for i, done := range all {
		tm.claim(0, kubbis[i])
		testkit.Receive(t, done, "answer")
	}
	looks = db.looks.Load()
	time.Sleep(3 * minLookPause)
	if late := db.looks.Load() - looks; late > 1 { // one may have begun before the last answer
		t.Errorf("%d looks while nobody waits", late)
	}
}

const minLookPause = 100 * time.Millisecond // as in waiters.go

// A client that goes away waits no more. A relay that stops answers at once, and says that it
// has not waited.
func TestWaitEndsEarly(t *testing.T) {
	tm := newTeam(t, 1, overSQLite(t), nil)
	key := tm.key("kb_a", store.APIKey{Rate: 60})
	c := tm.create(0, key, noLimit)
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", tm.nodes[0].URL+tokenPath(c)+api.SuffixInspect, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(api.HeaderPrefer, "wait=40")
	gone := make(chan error, 1)
	go func() {
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		gone <- err
	}()
	count := func(want int) func() bool { return func() bool { return tm.relays[0].Waiting() == want } }
	testkit.Await(t, "it waits", count(1))
	cancel()
	if err := testkit.Receive(t, gone, "the client's end"); err == nil {
		t.Error("an answer came before the cancellation")
	}
	testkit.Await(t, "nobody waits", count(0))

	done := tm.waitFor(0, key, api.PathKubbi+c.ID, api.HeaderPrefer, "wait=40")
	resume := tm.relays[0].StopWaits()
	stopped := testkit.Receive(t, done, "answer")
	refused := tm.call(0, key, "GET", api.PathKubbi+c.ID, "", api.HeaderPrefer, "wait=40")
	for _, a := range []answer{stopped.answer, refused} {
		if a.status != http.StatusOK || a.header.Get(api.HeaderPreferenceApplied) != "" || !strings.Contains(string(a.body), `"active"`) {
			t.Errorf("%d %v %s", a.status, a.header, a.body)
		}
	}
	resume()
	done = tm.waitFor(0, key, api.PathKubbi+c.ID, api.HeaderPrefer, "wait=40")
	tm.claim(0, c)
	got := testkit.Receive(t, done, "answer")
	if left := got.header.Get(api.HeaderRateLimit); got.applied() != "wait=40" || !strings.Contains(left, "r=56;") { // a create and three gets
		t.Errorf("%q, %q", got.applied(), left)
	}

	// A key that is revoked meanwhile gets no answer.
	done = tm.waitFor(0, key, api.PathKubbi+c.ID, api.HeaderPrefer, "wait=40")
	if _, err := tm.db.RevokeAPIKey(t.Context(), relay.HashSecret(key), start); err != nil {
		t.Fatal(err)
	}
	tm.clock.Advance(2 * time.Second) // the relay caches keys
	tm.claim(0, c)
	wantError(t, testkit.Receive(t, done, "answer").answer, api.CodeUnauthorized, "revoked")
}
