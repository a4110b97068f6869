package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"kubbi-mcp/relay/store"
)

// under creates k under a quota at now.
func (f *fixture) under(q store.Quota, k *store.Kubbi, now time.Time) error {
	f.Helper()
	replay, err := f.s.Create(f.Context(), k, bytesOf(sealed(k)), nil, q, now)
	if replay != nil {
		f.Fatalf("create answered a replay: %+v", replay)
	}
	return err
}

// fits checks that a quota allows exactly n more.
func (f *fixture) fits(q store.Quota, n int, now time.Time, full error, change ...func(*store.Kubbi)) {
	f.Helper()
	for i := range n {
		if err := f.under(q, f.kubbi(change...), now); err != nil {
			f.Fatalf("%d of %d: %v", i+1, n, err)
		}
	}
	k := f.kubbi(change...)
	if err := f.under(q, k, now); !errors.Is(err, full) {
		f.Fatalf("%d more were created: %v, want %v", n+1, err, full)
	}
	f.getFails(k, now, store.ErrNotFound)
}

var quotas = []testCase{
	{"active ones are limited, and nothing is stored", func(f *fixture) {
		q := store.Quota{Active: 3}
		f.fits(q, 3, t0, store.ErrActiveQuota)
		f.fits(q, 0, t0, store.ErrActiveQuota)
		k := f.kubbi(func(k *store.Kubbi) { k.MasterKey = "refused" })
		key := createKey("refused")
		for _, payload := range []string{"x", large(3 << 20)} {
			if _, err := f.s.Create(f.Context(), k, bytesOf(payload), key, q, t0); !errors.Is(err, store.ErrActiveQuota) {
				f.Errorf("error %v", err)
			}
			f.claimFails(k, nil, t0, store.ErrNotFound)
			f.masterKeys("key-1")
		}
		f.create(k, bytesOf("x"), key) // neither id, token nor key is taken
		if l := f.list(owner, store.Page{Number: 1, Limit: 10}, t0); l.Total != 4 {
			f.Errorf("%d kubbis", l.Total)
		}
	}},
	{"all active ones of the owner count, nobody else's", func(f *fixture) {
		f.put(f.kubbi())
		if err := f.under(store.Quota{Daily: 5}, f.kubbi(), t0); err != nil {
			f.Fatal(err)
		}
		for range 5 {
			f.put(f.kubbi(func(k *store.Kubbi) { k.Owner = other }))
		}
		f.fits(store.Quota{Active: 4}, 2, t0, store.ErrActiveQuota)
		f.fits(store.Quota{Active: 6}, 2, t0, store.ErrActiveQuota) // another key of the same owner
	}},
	{"ended ones are not active", func(f *fixture) {
		for _, q := range []store.Quota{{}, {Active: 2}} { // under which they are made
			for _, e := range ends {
				own := func(k *store.Kubbi) { k.Owner, k.MaxRetrievals = fmt.Sprint(e.name, q.Active), 2 }
				a, b := f.kubbi(own), f.kubbi(own)
				for _, k := range []*store.Kubbi{a, b} {
					if err := f.under(q, k, t0); err != nil {
						f.Fatal(err)
					}
				}
				f.fits(store.Quota{Active: 2}, 0, at(time.Second), store.ErrActiveQuota, own)
				now := e.end(f, a)
				own2 := func(k *store.Kubbi) { own(k); k.CreatedAt, k.ExpiresAt = now, now.Add(ttl) }
				n := 1
				if e.status == store.Expired {
					n = 2 // b as well
				}
				f.fits(store.Quota{Active: 2}, n, now, store.ErrActiveQuota, own2)
			}
		}
	}},
	{"a burned one is not active in its grace", func(f *fixture) {
		q := store.Quota{Active: 1}
		k := f.kubbi(limit(1))
		if err := f.under(q, k, t0); err != nil {
			f.Fatal(err)
		}
		f.claim(k, claimKey("a"), t0)
		f.fits(q, 1, t0, store.ErrActiveQuota)
	}},
	{"an expired one is not active before a sweep, to the millisecond", func(f *fixture) {
		q := store.Quota{Active: 2}
		soon := func(k *store.Kubbi) { k.ExpiresAt = at(time.Minute) }
		f.fits(q, 2, t0, store.ErrActiveQuota, soon)
		f.fits(q, 0, at(time.Minute-time.Millisecond), store.ErrActiveQuota)
		f.fits(q, 2, at(time.Minute), store.ErrActiveQuota)
		f.sweep(at(time.Minute))
		f.fits(q, 0, at(time.Minute), store.ErrActiveQuota)
		f.fits(q, 2, at(ttl), store.ErrActiveQuota, func(k *store.Kubbi) { k.ExpiresAt = at(2 * ttl) })
	}},
	{"a day's creations are limited, ended ones included", func(f *fixture) {
		q := store.Quota{Daily: 3}
		k := f.kubbi(limit(1))
		if err := f.under(q, k, t0); err != nil {
			f.Fatal(err)
		}
		f.claim(k, nil, t0)
		f.fits(q, 2, at(time.Hour), store.ErrDailyQuota, func(k *store.Kubbi) { k.ExpiresAt = at(2 * time.Hour) })
		f.sweep(at(3 * time.Hour))
		f.fits(q, 0, at(3*time.Hour), store.ErrDailyQuota)
		f.fits(store.Quota{Daily: 4}, 1, at(3*time.Hour), store.ErrDailyQuota)
		f.fits(q, 3, at(3*time.Hour), store.ErrDailyQuota, func(k *store.Kubbi) { k.Owner = other })
	}},
	{"the day is that of now, in UTC", func(f *fixture) {
		q := store.Quota{Daily: 2}
		midnight := t0.Truncate(24 * time.Hour).Add(24 * time.Hour)
		later := func(k *store.Kubbi) { k.ExpiresAt = midnight.Add(ttl) } // CreatedAt does not matter
		f.fits(q, 2, midnight.Add(-time.Millisecond), store.ErrDailyQuota, later)
		f.fits(q, 2, midnight.In(time.FixedZone("west", -3600)), store.ErrDailyQuota, later)
		// A node whose clock is behind is still in the day before.
		f.fits(q, 0, midnight.Add(-time.Millisecond), store.ErrDailyQuota, later)
		f.fits(q, 2, midnight.Add(24*time.Hour), store.ErrDailyQuota, func(k *store.Kubbi) { k.ExpiresAt = midnight.Add(30 * time.Hour) })
	}},
	{"a day counts what was created under a Daily", func(f *fixture) {
		f.put(f.kubbi())
		if err := f.under(store.Quota{Active: 9}, f.kubbi(), t0); err != nil {
			f.Fatal(err)
		}
		f.fits(store.Quota{Daily: 2}, 2, t0, store.ErrDailyQuota)
	}},
	{"what was not stored does not count", func(f *fixture) {
		q := store.Quota{Daily: 2, Active: 2}
		failed := errors.New("sealing failed")
		for _, after := range []int{0, 3 << 20} {
			_, err := f.s.Create(f.Context(), f.kubbi(), failing(after, failed), nil, q, t0)
			if err != failed {
				f.Errorf("error %v", err)
			}
		}
		a := f.put(f.kubbi(func(k *store.Kubbi) { k.Owner = other }))
		if err := f.under(q, f.kubbi(func(k *store.Kubbi) { k.Token = a.Token }), t0); !errors.Is(err, store.ErrExists) {
			f.Errorf("error %v", err)
		}
		first := f.kubbi(limit(1))
		if err := f.under(q, first, t0); err != nil {
			f.Fatal(err)
		}
		for range 3 { // a create that one quota refuses does not count for the other
			if err := f.under(store.Quota{Daily: 2, Active: 1}, f.kubbi(), t0); !errors.Is(err, store.ErrActiveQuota) {
				f.Errorf("error %v", err)
			}
		}
		f.claim(first, nil, t0)
		f.fits(q, 1, t0, store.ErrDailyQuota)
	}},
	{"a replay is answered whatever the quota", func(f *fixture) {
		q := store.Quota{Daily: 1, Active: 1}
		k, key := f.kubbi(), createKey("a")
		if _, err := f.s.Create(f.Context(), k, bytesOf("x"), key, q, t0); err != nil {
			f.Fatal(err)
		}
		for range 3 {
			got, err := f.s.Create(f.Context(), f.kubbi(), bytesOf("x"), key, q, at(time.Second))
			if err != nil {
				f.Fatal(err)
			}
			f.same("replay", &store.Replay{Kubbi: *k, Answer: key.Answer}, got)
		}
		// It does not count either.
		f.fits(store.Quota{Daily: 2, Active: 2}, 1, at(time.Second), store.ErrActiveQuota)
	}},
	{"a large payload is under the quota too", func(f *fixture) {
		whole := large(3 << 20)
		for i := range 3 {
			_, err := f.s.Create(f.Context(), f.kubbi(), bytesOf(whole), nil, store.Quota{Daily: 2, Active: 2}, t0)
			if want := i == 2; (err != nil) != want || want && !errors.Is(err, store.ErrActiveQuota) && !errors.Is(err, store.ErrDailyQuota) {
				f.Errorf("create %d: %v", i, err)
			}
		}
	}},
	{"racing creates, no more than it has room for", func(f *fixture) {
		stores := []store.Store{f.s, f.open(f.T)}
		for i, q := range []store.Quota{{Active: 10}, {Daily: 10}, {Daily: 10, Active: 40}, {Daily: 40, Active: 10}} {
			own := fmt.Sprint("racer ", i)
			// Some have expired and are not swept: each frees its place once.
			if q.Active == 10 {
				for range 4 {
					if err := f.under(q, f.kubbi(func(k *store.Kubbi) { k.Owner, k.ExpiresAt = own, at(time.Second) }), t0); err != nil {
						f.Fatal(err)
					}
				}
			}
			want, full := 10, store.ErrActiveQuota
			if q.Daily == 10 {
				full = store.ErrDailyQuota
			}
			var made atomic.Int32
			var wg sync.WaitGroup
			start := make(chan struct{})
			for j := range 32 {
				k := f.kubbi(func(k *store.Kubbi) { k.Owner = own })
				wg.Go(func() {
					<-start
					_, err := stores[j%2].Create(f.Context(), k, bytesOf("x"), nil, q, at(time.Second))
					switch {
					case err == nil:
						made.Add(1)
					case !errors.Is(err, full):
						f.Errorf("%+v: %v", q, err)
					}
				})
			}
			close(start)
			wg.Wait()
			if n := int(made.Load()); n != want {
				f.Errorf("%+v: %d made, want %d", q, n, want)
			}
		}
	}},
	{"creates race with the ends of others", func(f *fixture) {
		stores := []store.Store{f.s, f.open(f.T)}
		q := store.Quota{Active: 5}
		var wg sync.WaitGroup
		for i := range 8 {
			kubbis := make([]*store.Kubbi, 10)
			for j := range kubbis {
				kubbis[j] = f.kubbi(limit(1))
			}
			wg.Go(func() {
				s := stores[i%2]
				for _, k := range kubbis {
					_, err := s.Create(f.Context(), k, bytesOf("x"), nil, q, t0)
					if errors.Is(err, store.ErrActiveQuota) {
						continue
					}
					if err != nil {
						f.Errorf("create: %v", err)
						return
					}
					if _, err := stores[1-i%2].Claim(f.Context(), k.Token, claimKey("a"), nil, t0); err != nil {
						f.Errorf("claim: %v", err)
					}
				}
			})
		}
		wg.Wait()
		f.fits(q, 5, t0, store.ErrActiveQuota) // all have burned
	}},
}

// countUses checks that CountUses counts taken and returns sum.
func (f *fixture) countUses(bucket store.Hash, window time.Duration, n, limit int, now time.Time, taken, sum int) {
	f.Helper()
	gotTaken, gotSum, err := f.s.CountUses(f.Context(), bucket, window, n, limit, now)
	if err != nil {
		f.Fatalf("take: %v", err)
	}
	if gotTaken != taken || gotSum != sum {
		f.Errorf("took %d, sum %d, want %d and %d", gotTaken, gotSum, taken, sum)
	}
}

var countsUses = []testCase{
	{"counts as many as leave the sum at or below limit", func(f *fixture) {
		b := hash("bucket")
		f.countUses(b, time.Minute, 1, 10, t0, 1, 1)
		f.countUses(b, time.Minute, 6, 10, t0, 6, 7)
		f.countUses(b, time.Minute, 0, 10, t0, 0, 7)
		f.countUses(b, time.Minute, 5, 10, t0, 3, 10)
		f.countUses(b, time.Minute, 5, 10, t0, 0, 10)
		f.countUses(b, time.Minute, 5, 12, t0, 2, 12)
		f.countUses(b, time.Minute, 1, 5, t0, 0, 12) // a limit that was lowered
		f.countUses(hash("closed"), time.Minute, 1, 0, t0, 0, 0)
	}},
	{"windows start at multiples of their length since 1970", func(f *fixture) {
		b := hash("bucket")
		for i, window := range []time.Duration{time.Second, time.Minute, 7 * time.Minute, 24 * time.Hour} {
			start := time.UnixMilli(t0.UnixMilli() / window.Milliseconds() * window.Milliseconds())
			limit := 10 + i
			f.countUses(b, window, 9, limit, start, 9, 9)
			f.countUses(b, window, 9, limit, start.Add(-time.Millisecond), 9, 9)
			f.countUses(b, window, 9, limit, start.Add(window-time.Millisecond), limit-9, limit)
			f.countUses(b, window, 9, limit, start.Add(window), 9, 9)
			f.countUses(b, window, 9, limit, start.Add(-time.Millisecond), limit-9, limit) // a clock that is behind
		}
	}},
	{"buckets are apart", func(f *fixture) {
		a := hash("bucket")
		b := a
		b[31] ^= 1
		f.countUses(a, time.Minute, 3, 3, t0, 3, 3)
		f.countUses(b, time.Minute, 3, 3, t0, 3, 3)
	}},
	{"survives Close and open", func(f *fixture) {
		f.countUses(hash("bucket"), time.Minute, 2, 3, t0, 2, 2)
		if err := f.s.Close(); err != nil {
			f.Fatal(err)
		}
		f.s = f.open(f.T)
		f.countUses(hash("bucket"), time.Minute, 2, 3, t0, 1, 3)
	}},
	{"races never pass limit", func(f *fixture) {
		stores := []store.Store{f.s, f.open(f.T)}
		const limit = 50
		var total, most atomic.Int64
		var wg sync.WaitGroup
		for i := range 32 {
			wg.Go(func() {
				for j := range 4 {
					taken, sum, err := stores[i%2].CountUses(f.Context(), hash("bucket"), time.Minute, 1+(i+j)%3, limit, t0)
					if err != nil {
						f.Errorf("take: %v", err)
						return
					}
					total.Add(int64(taken))
					for old := most.Load(); int64(sum) > old && !most.CompareAndSwap(old, int64(sum)); old = most.Load() {
					}
				}
			})
		}
		wg.Wait()
		if total.Load() != limit || most.Load() != limit {
			f.Errorf("%d taken, largest sum %d, want %d", total.Load(), most.Load(), limit)
		}
	}},
	{"a sweep forgets windows that have ended, no others", func(f *fixture) {
		ended, open := hash("ended"), hash("open")
		week := at(7 * 24 * time.Hour)
		f.countUses(ended, time.Minute, 3, 3, t0, 3, 3)
		f.countUses(open, time.Minute, 3, 3, week, 3, 3)
		f.sweep(week)
		f.countUses(open, time.Minute, 1, 3, week, 0, 3)
		f.countUses(ended, time.Minute, 1, 3, t0, 1, 1)
	}},
}
