package storetest

import (
	"sync"
	"time"

	"github.com/google/uuid"

	"kubbi-mcp/relay/store"
)

const lease = 30 * time.Second

// notified gives k a Notify.
func notified(k *store.Kubbi) { k.Notify = []byte("sealed address \x00 of " + k.ID) }

func (f *fixture) notices(now time.Time, limit int) []store.Notice {
	f.Helper()
	got, err := f.s.Notices(f.Context(), now, lease, limit)
	if err != nil {
		f.Fatalf("notices: %v", err)
	}
	return got
}

// wantNotices leases all due notices, and checks that they are of these events, in any
// order, each with k as it is now.
func (f *fixture) wantNotices(now time.Time, k *store.Kubbi, attempts int, events map[store.Event]time.Time) []store.Notice {
	f.Helper()
	got := f.notices(now, 100)
	want := *k
	want.Secret, want.Record = store.Secret{}, nil
	seen := map[string]bool{}
	for _, n := range got {
		at, ok := events[n.Event]
		if _, err := uuid.Parse(n.ID); err != nil || seen[n.ID] {
			f.Errorf("id %q", n.ID)
		}
		seen[n.ID] = true
		if !ok {
			f.Errorf("event %d", n.Event)
		}
		f.same("notice", store.Notice{ID: n.ID, Kubbi: want, Event: n.Event, At: at, Attempts: attempts}, n)
	}
	if len(got) != len(events) {
		f.Errorf("%d notices, want %d", len(got), len(events))
	}
	return got
}

func (f *fixture) done(notices ...store.Notice) {
	f.Helper()
	for _, n := range notices {
		if err := f.s.NoticeDone(f.Context(), n.ID); err != nil {
			f.Fatalf("done: %v", err)
		}
	}
}

var notices = []testCase{
	{"Notify is kept while the kubbi is active", func(f *fixture) {
		k := f.put(f.kubbi(notified, packaged, limit(2)))
		f.same("get", k, f.get(k, t0))
		got, err := f.s.Inspect(f.Context(), k.Token, t0)
		if err != nil {
			f.Fatal(err)
		}
		f.same("inspect", k, got)
		c, _ := f.claim(k, claimKey("a"), t0)
		f.same("claimed", k.Notify, c.Notify)
		c, _ = f.claim(k, claimKey("a"), t0)
		f.same("replayed", k.Notify, c.Notify)
		for _, e := range ends {
			k := f.put(f.kubbi(notified, limit(2)))
			ended := e.end(f, k)
			if got := f.get(k, ended); got.Notify != nil {
				f.Errorf("%s: %q", e.name, got.Notify)
			}
		}
		k = f.put(f.kubbi(notified, limit(1)))
		f.claim(k, claimKey("a"), t0)
		if got := f.get(k, t0); got.Notify != nil {
			f.Errorf("in the grace: %q", got.Notify)
		}
	}},
	{"nobody is notified without Notify", func(f *fixture) {
		for _, e := range ends {
			e.end(f, f.put(f.kubbi(limit(2))))
		}
		f.wantNotices(at(ttl), f.kubbi(), 1, nil)
	}},
	{"a counted claim, once", func(f *fixture) {
		for name, key := range map[string]*store.ClaimKey{"without a key": nil, "with one": claimKey("a")} {
			k := f.put(f.kubbi(notified, packaged, limit(3)))
			f.wantNotices(t0, k, 1, nil)
			c, _ := f.claim(k, key, at(time.Second))
			if key != nil {
				f.claim(k, key, at(time.Second)) // a replay
				f.release(k, key, at(time.Second))
			}
			if _, err := f.s.Claim(f.Context(), k.Token, nil, []string{"another"}, at(time.Second)); err == nil {
				f.Errorf("%s: claimed without the master key", name)
			}
			f.done(f.wantNotices(at(time.Second), &c.Kubbi, 1, map[store.Event]time.Time{store.EventClaimed: at(time.Second)})...)
			f.wantNotices(at(time.Hour-1), k, 1, nil)
		}
	}},
	{"the last claim also burned it", func(f *fixture) {
		for _, key := range []*store.ClaimKey{nil, claimKey("a")} {
			k := f.put(f.kubbi(notified, limit(1)))
			c, _ := f.claim(k, key, at(time.Second))
			f.claimFails(k, nil, at(time.Second), store.ErrBurned)
			want := c.Kubbi
			want.Notify = k.Notify
			f.done(f.wantNotices(at(time.Second), &want, 1, map[store.Event]time.Time{
				store.EventClaimed: at(time.Second), store.EventBurned: at(time.Second),
			})...)
			f.sweep(at(ttl))
			f.wantNotices(at(ttl), k, 1, nil)
		}
	}},
	{"deleted", func(f *fixture) {
		k := f.put(f.kubbi(notified, packaged))
		want := *f.delete(k, at(time.Second))
		want.Notify = k.Notify
		if _, err := f.s.Delete(f.Context(), owner, k.ID, at(time.Second)); err == nil {
			f.Error("deleted twice")
		}
		f.wantNotices(at(time.Second), &want, 1, map[store.Event]time.Time{store.EventDeleted: at(time.Second)})
	}},
	{"expired, once a sweep has seen it, as of ExpiresAt", func(f *fixture) {
		k := f.put(f.kubbi(notified, packaged))
		f.claimFails(k, nil, at(ttl), store.ErrExpired)
		f.wantNotices(at(ttl), k, 1, nil)
		f.sweep(at(ttl + time.Hour))
		want := *f.get(k, at(ttl))
		want.Notify = k.Notify
		f.done(f.wantNotices(at(ttl+time.Hour), &want, 1, map[store.Event]time.Time{store.EventExpired: at(ttl)})...)
		f.sweep(at(ttl + time.Hour))
		f.wantNotices(at(ttl+time.Hour), k, 1, nil)
	}},
	{"expired, once, when a grace outlasts it", func(f *fixture) {
		for _, release := range []bool{false, true} {
			k := f.put(f.kubbi(notified))
			f.claim(k, claimKey("a"), at(ttl-time.Second))
			f.done(f.notices(at(ttl-time.Second), 100)...)
			if release {
				f.release(k, claimKey("a"), at(ttl))
			}
			f.sweep(at(ttl))
			f.sweep(at(ttl + grace))
			want := *f.get(k, at(ttl))
			want.Notify = k.Notify
			f.done(f.wantNotices(at(ttl+grace), &want, 1, map[store.Event]time.Time{store.EventExpired: at(ttl)})...)
		}
	}},
	{"many sweeps leave one of each", func(f *fixture) {
		const n = 40
		for range n {
			f.put(f.kubbi(notified))
		}
		other := f.open(f.T)
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				s := f.s
				if i%2 == 1 {
					s = other
				}
				if _, err := s.Sweep(f.Context(), at(ttl), retain, n); err != nil {
					f.Error(err)
				}
			})
		}
		wg.Wait()
		if got := f.notices(at(ttl), 2*n); len(got) != n {
			f.Errorf("%d notices, want %d", len(got), n)
		}
	}},
	{"a leased one is not due before the lease ends, then it is again", func(f *fixture) {
		k := f.put(f.kubbi(notified))
		c, _ := f.claim(k, nil, t0)
		claimed := map[store.Event]time.Time{store.EventClaimed: t0}
		first := f.wantNotices(at(time.Second), &c.Kubbi, 1, claimed)
		second := f.open(f.T)
		for _, s := range []store.Store{f.s, second} {
			if got, err := s.Notices(f.Context(), at(time.Second+lease-time.Millisecond), lease, 10); err != nil || len(got) != 0 {
				f.Errorf("%d notices, error %v", len(got), err)
			}
		}
		f.s = second
		again := f.wantNotices(at(time.Second+lease), &c.Kubbi, 2, claimed)
		if again[0].ID != first[0].ID {
			f.Errorf("id %q in the second attempt, %q in the first", again[0].ID, first[0].ID)
		}
	}},
	{"one that was put off is due at its time", func(f *fixture) {
		k := f.put(f.kubbi(notified))
		c, _ := f.claim(k, nil, t0)
		claimed := map[store.Event]time.Time{store.EventClaimed: t0}
		for attempt, due := range []time.Duration{time.Hour, 2 * time.Second, 48 * time.Hour} {
			now := at(time.Duration(attempt) * 24 * time.Hour)
			n := f.wantNotices(now, &c.Kubbi, attempt+1, claimed)[0]
			if err := f.s.NoticeLater(f.Context(), n.ID, now.Add(due)); err != nil {
				f.Fatal(err)
			}
			f.wantNotices(now.Add(due-time.Millisecond), k, 0, nil)
			if attempt == 2 {
				f.wantNotices(now.Add(due), &c.Kubbi, 4, claimed)
				break
			}
			// It is due again, and leased by the next attempt of this test.
			if err := f.s.NoticeLater(f.Context(), n.ID, at(time.Duration(attempt+1)*24*time.Hour)); err != nil {
				f.Fatal(err)
			}
		}
	}},
	{"one that is done is gone", func(f *fixture) {
		k := f.put(f.kubbi(notified))
		f.claim(k, nil, t0)
		f.done(f.notices(t0, 1)...)
		f.wantNotices(at(100*retain), k, 1, nil)
	}},
	{"of what is not there is no error", func(f *fixture) {
		k := f.put(f.kubbi(notified))
		f.claim(k, nil, t0)
		got := f.notices(t0, 1)
		f.done(got...)
		for _, id := range []string{got[0].ID, uuid.NewString(), "", "not a UUID"} {
			f.done(store.Notice{ID: id})
			if err := f.s.NoticeLater(f.Context(), id, t0); err != nil {
				f.Errorf("later: %v", err)
			}
		}
		f.wantNotices(at(100*retain), k, 1, nil)
	}},
	{"at most limit, oldest first", func(f *fixture) {
		const n = 7
		for i := range n {
			f.claim(f.put(f.kubbi(notified)), nil, at(time.Duration((i*3)%n)*time.Second))
		}
		if got := f.notices(at(time.Minute), 0); len(got) != 0 {
			f.Errorf("limit 0: %d notices", len(got))
		}
		next := 0
		for _, want := range []int{3, 3, 1, 0} {
			got := f.notices(at(time.Minute), 3)
			if len(got) != want {
				f.Fatalf("%d notices, want %d", len(got), want)
			}
			for _, g := range got {
				if age := at(time.Duration(next) * time.Second); !g.At.Equal(age) {
					f.Errorf("notice of %v, want that of %v", g.At, age)
				}
				next++
			}
		}
	}},
	{"outlive the kubbi's tombstone, Close and open", func(f *fixture) {
		k := f.put(f.kubbi(notified, packaged))
		want := *f.delete(k, t0)
		want.Notify = k.Notify
		if got := f.sweep(at(2 * retain)); got.Removed != 1 {
			f.Errorf("%+v", got)
		}
		if err := f.s.Close(); err != nil {
			f.Fatal(err)
		}
		f.s = f.open(f.T)
		f.put(f.kubbi(func(n *store.Kubbi) { n.ID, n.Token = k.ID, k.Token }))
		f.wantNotices(at(2*retain), &want, 1, map[store.Event]time.Time{store.EventDeleted: t0})
	}},
	{"none is handed out twice, however many ask", func(f *fixture) {
		const n = 60
		for range n {
			f.claim(f.put(f.kubbi(notified)), nil, t0)
		}
		stores := []store.Store{f.s, f.open(f.T)}
		var mu sync.Mutex
		seen := map[string]int{}
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for range n { // ends with a store that always returns the same notice
					got, err := stores[i%2].Notices(f.Context(), at(time.Second), lease, 7)
					if err != nil {
						f.Errorf("notices: %v", err)
						return
					}
					if len(got) == 0 {
						return
					}
					mu.Lock()
					for _, g := range got {
						seen[g.ID]++
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		for id, times := range seen {
			if times != 1 {
				f.Errorf("notice %s was handed out %d times", id, times)
			}
		}
		if len(seen) != n {
			f.Errorf("%d notices, want %d", len(seen), n)
		}
	}},
}
