package storetest

import (
	"context"
	"time"

	"github.com/google/go-cmp/cmp"

	"kubbi-mcp/relay/store"
)

// stats checks the statistics. It waits, since they may be a few seconds old.
func (f *fixture) stats(what string, want store.Stats) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), 10*time.Second)
	defer cancel()
	for {
		got, err := f.s.Stats(ctx)
		if err != nil {
			f.Fatalf("%s: stats: %v", what, err)
		}
		if *got == want {
			return
		}
		select {
		case <-ctx.Done():
			f.Fatalf("%s: stats (-want +got):\n%s", what, cmp.Diff(&want, got))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

var statistics = []testCase{
	{"count what each change makes", func(f *fixture) {
		f.stats("at first", store.Stats{})
		sized := func(n int64) func(*store.Kubbi) { return func(k *store.Kubbi) { k.Size = n } }
		a := f.put(f.kubbi(sized(1000), limit(2)))
		b := f.put(f.kubbi(sized(200), limit(1), notified))
		c := f.put(f.kubbi(sized(30), packaged))
		d := f.put(f.kubbi(sized(4), func(k *store.Kubbi) { k.Owner = other }))
		f.stats("created", store.Stats{Active: 4, Bytes: 1234})

		f.claim(a, nil, t0)
		f.stats("claimed", store.Stats{Active: 4, Bytes: 1234})
		f.claim(a, nil, t0)
		f.stats("burned", store.Stats{Active: 3, Burned: 1, Bytes: 234})
		f.claimFails(a, nil, t0, store.ErrBurned)
		f.stats("claim failed", store.Stats{Active: 3, Burned: 1, Bytes: 234})

		f.claim(b, claimKey("a"), t0)
		f.stats("burned, in its grace", store.Stats{Active: 2, Burned: 2, Bytes: 234, Notices: 2})
		f.claim(b, claimKey("a"), t0)
		f.stats("replayed", store.Stats{Active: 2, Burned: 2, Bytes: 234, Notices: 2})
		f.release(b, claimKey("a"), t0)
		f.stats("released", store.Stats{Active: 2, Burned: 2, Bytes: 34, Notices: 2})
		f.done(f.notices(t0, 1)...)
		f.stats("notified", store.Stats{Active: 2, Burned: 2, Bytes: 34, Notices: 1})
		f.done(f.notices(at(time.Minute), 1)...)

		f.delete(d, t0)
		f.stats("deleted", store.Stats{Active: 1, Burned: 2, Deleted: 1, Bytes: 30})
		f.claimFails(c, nil, at(ttl), store.ErrExpired)
		f.stats("expired, not swept", store.Stats{Active: 1, Burned: 2, Deleted: 1, Bytes: 30})
		f.sweep(at(ttl))
		f.stats("swept", store.Stats{Expired: 1, Burned: 2, Deleted: 1})
		f.sweep(at(retain + time.Second))
		f.stats("burned and deleted removed", store.Stats{Expired: 1})
		f.sweep(at(2 * retain))
		f.stats("all removed", store.Stats{})
	}},
	{"a sweep counts each once", func(f *fixture) {
		k := f.put(f.kubbi())
		f.claim(k, claimKey("a"), at(ttl-time.Second))
		f.sweep(at(ttl))
		f.stats("expired, in a grace", store.Stats{Expired: 1, Bytes: k.Size})
		f.sweep(at(ttl + grace))
		f.stats("wiped", store.Stats{Expired: 1})
	}},
	{"survive Close and open", func(f *fixture) {
		k := f.put(f.kubbi())
		if err := f.s.Close(); err != nil {
			f.Fatal(err)
		}
		f.s = f.open(f.T)
		f.stats("opened", store.Stats{Active: 1, Bytes: k.Size})
	}},
}
