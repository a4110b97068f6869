package storetest

import (
	"errors"
	"fmt"
	"time"

	"kubbi-mcp/relay/store"
)

var sweeps = []testCase{
	{"expires and wipes", func(f *fixture) {
		k := f.put(f.kubbi(packaged))
		if got := f.sweep(at(ttl - time.Millisecond)); got != (store.Swept{}) {
			f.Errorf("before its time: %+v", got)
		}
		f.masterKeys("key-1")
		if got := f.sweep(at(ttl)); got != (store.Swept{Expired: 1}) {
			f.Errorf("at its time: %+v", got)
		}
		f.masterKeys()
		f.same("get", tombstone(k, store.Expired, at(ttl)), f.get(k, at(ttl)))
		if got := f.sweep(at(ttl)); got != (store.Swept{}) {
			f.Errorf("again: %+v", got)
		}
	}},
	{"wipes large ones as well as small ones", func(f *fixture) {
		for range 5 {
			f.put(f.kubbi(func(k *store.Kubbi) { k.Size = 40 << 20 }))
		}
		if got := f.sweep(at(ttl)); got != (store.Swept{Expired: 5}) {
			f.Errorf("got %+v", got)
		}
		f.masterKeys()
	}},
	{"says when it has work next", func(f *fixture) {
		due := func(what string, most time.Time) {
			f.Helper()
			got, err := f.s.Due(f.Context())
			switch {
			case err != nil:
				f.Errorf("%s: %v", what, err)
			case got.IsZero() != most.IsZero() || got.After(most):
				f.Errorf("%s: due %v, want %v at the latest", what, got, most)
			}
		}
		due("empty", time.Time{})
		burned := f.put(f.kubbi(limit(1)))
		due("active", at(ttl))
		f.claim(burned, claimKey("a"), t0)
		due("burned", at(grace))
		active := f.put(f.kubbi())
		f.sweep(at(grace))
		due("one wiped", at(ttl))
		f.claim(active, claimKey("a"), at(ttl-time.Second))
		f.sweep(at(ttl))
		due("expired", at(ttl-time.Second+grace))
		f.sweep(at(ttl - time.Second + grace))
		due("all wiped", time.Time{})
	}},
	{"late sweep sets EndedAt to ExpiresAt", func(f *fixture) {
		k := f.put(f.kubbi())
		f.sweep(at(ttl + 5*time.Hour))
		if got := f.get(k, at(ttl+5*time.Hour)); !got.EndedAt.Equal(at(ttl)) {
			f.Errorf("ended at %v", got.EndedAt)
		}
	}},
	{"wipes where the last grace has ended", func(f *fixture) {
		burned, expired := f.put(f.kubbi(limit(1))), f.put(f.kubbi())
		f.claim(burned, claimKey("a"), at(ttl-time.Second))
		f.claim(expired, claimKey("a"), at(ttl-time.Second))
		if got := f.sweep(at(ttl)); got != (store.Swept{Expired: 1}) {
			f.Errorf("in the grace: %+v", got)
		}
		f.masterKeys("key-1")
		if got := f.sweep(at(ttl - time.Second + grace - time.Millisecond)); got != (store.Swept{}) {
			f.Errorf("just before its end: %+v", got)
		}
		if got := f.sweep(at(ttl - time.Second + grace)); got != (store.Swept{Wiped: 2}) {
			f.Errorf("at its end: %+v", got)
		}
		f.masterKeys()
	}},
	{"active kubbi outlives its graces", func(f *fixture) {
		k := f.put(f.kubbi(limit(3)))
		f.claim(k, claimKey("a"), t0)
		f.claim(k, claimKey("b"), t0)
		if got := f.sweep(at(2 * grace)); got != (store.Swept{}) {
			f.Errorf("%+v", got)
		}
		if c, got := f.claim(k, claimKey("a"), at(2*grace)); c.Number != 3 || got != sealed(k) {
			f.Errorf("number %d, payload %q", c.Number, got)
		}
	}},
	{"removes tombstones after the retention", func(f *fixture) {
		for _, e := range ends {
			k := f.put(f.kubbi(limit(2)))
			ended := e.end(f, k)
			f.sweep(ended)
			if got := f.sweep(ended.Add(retain)); got.Removed != 0 {
				f.Errorf("%s: removed when the retention is just over: %+v", e.name, got)
			}
			f.get(k, ended.Add(retain))
			if got := f.sweep(ended.Add(retain + time.Millisecond)); got.Removed != 1 {
				f.Errorf("%s: %+v", e.name, got)
			}
			f.getFails(k, ended.Add(retain), store.ErrNotFound)
			f.claimFails(k, nil, ended.Add(retain), store.ErrNotFound)
			if _, err := f.s.Inspect(f.Context(), k.Token, ended); !errors.Is(err, store.ErrNotFound) {
				f.Errorf("%s: inspect: %v", e.name, err)
			}
			if _, err := f.s.Delete(f.Context(), owner, k.ID, ended); !errors.Is(err, store.ErrNotFound) {
				f.Errorf("%s: delete: %v", e.name, err)
			}
			f.put(k) // id and token are free
			f.delete(k, t0)
			if _, err := f.s.Sweep(f.Context(), at(100*retain), 0, 100); err != nil {
				f.Fatal(err)
			}
		}
	}},
	{"one sweep may expire and remove", func(f *fixture) {
		k := f.put(f.kubbi())
		if got := f.sweep(at(ttl + retain + time.Second)); got != (store.Swept{Expired: 1, Removed: 1}) {
			f.Errorf("%+v", got)
		}
		f.getFails(k, t0, store.ErrNotFound)
	}},
	{"a shorter retention counts at once", func(f *fixture) {
		k := f.put(f.kubbi(limit(1)))
		f.claim(k, nil, t0)
		f.sweep(at(time.Minute))
		got, err := f.s.Sweep(f.Context(), at(time.Minute), 10*time.Second, 100)
		if err != nil || got != (store.Swept{Removed: 1}) {
			f.Errorf("%+v, error %v", got, err)
		}
	}},
	{"forgets keys", func(f *fixture) {
		k := f.put(f.kubbi())
		f.create(f.kubbi(), bytesOf("x"), createKey("a"))
		for i := range 10 {
			f.claim(k, claimKey(fmt.Sprint(i)), t0)
		}
		f.sweep(at(grace))
		f.create(f.kubbi(func(k *store.Kubbi) { k.CreatedAt = at(grace) }), bytesOf("x"), createKey("a"))
		if c, _ := f.claim(k, claimKey("3"), at(grace)); c.Replay || c.Number != 11 {
			f.Errorf("replay %v, number %d", c.Replay, c.Number)
		}
	}},
	{"at most limit pieces", func(f *fixture) {
		const n = 150
		for range n {
			f.put(f.kubbi())
		}
		done := 0
		for i := 0; ; i++ {
			got, err := f.s.Sweep(f.Context(), at(ttl), retain, 40)
			if err != nil {
				f.Fatal(err)
			}
			if got.Expired > 40 {
				f.Fatalf("%+v", got)
			}
			done += got.Expired
			if !got.More {
				break
			}
			if got.Expired != 40 || i > n {
				f.Fatalf("more to do, but %+v", got)
			}
		}
		if done != n {
			f.Errorf("%d expired, want %d", done, n)
		}
		f.masterKeys()
		got, err := f.s.Sweep(f.Context(), at(ttl), retain, 0)
		if err != nil || got.Expired+got.Wiped+got.Removed != 0 {
			f.Errorf("limit 0: %+v, error %v", got, err)
		}
	}},
	{"in many places at once", func(f *fixture) {
		const n = 200
		for range n {
			f.put(f.kubbi())
		}
		results := make(chan store.Swept)
		for i := range 4 {
			s := f.s
			if i%2 == 1 {
				s = f.open(f.T)
			}
			go func() {
				got, err := s.Sweep(f.Context(), at(ttl), retain, n)
				if err != nil {
					f.Error(err)
				}
				results <- got
			}()
		}
		total := 0
		for range 4 {
			total += (<-results).Expired
		}
		if total != n {
			f.Errorf("%d expired, want %d", total, n)
		}
	}},
}

var masterKeys = []testCase{
	{"each once, while a payload is not wiped", func(f *fixture) {
		f.masterKeys()
		var all []*store.Kubbi
		for i := range 6 {
			all = append(all, f.put(f.kubbi(limit(1), func(k *store.Kubbi) { k.MasterKey = fmt.Sprintf("key-%d", i%2) })))
		}
		f.masterKeys("key-0", "key-1")
		f.claim(all[0], nil, t0)
		f.delete(all[2], t0)
		f.masterKeys("key-0", "key-1")
		f.claim(all[4], claimKey("a"), t0)
		f.masterKeys("key-0", "key-1") // its grace is open
		f.release(all[4], claimKey("a"), t0)
		f.masterKeys("key-1")
		f.sweep(at(ttl))
		f.masterKeys()
	}},
	{"an expired payload counts until it is wiped", func(f *fixture) {
		k := f.put(f.kubbi())
		f.claimFails(k, nil, at(ttl), store.ErrExpired)
		f.masterKeys("key-1")
	}},
	{"a waiting notice's counts until it is done", func(f *fixture) {
		k := f.put(f.kubbi(notified, limit(1)))
		f.claim(k, nil, t0)
		f.masterKeys("key-1")
		for _, n := range f.notices(t0, 10) {
			f.masterKeys("key-1")
			f.done(n)
			f.done(n)
		}
		f.masterKeys()
	}},
}
