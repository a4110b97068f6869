package storetest

import (
	"errors"
	"time"

	"kubbi-mcp/relay/store"
)

var gets = []testCase{
	{"gives the owner's in any status", func(f *fixture) {
		k := f.put(f.kubbi())
		f.same("active", k, f.get(k, t0))
		for _, e := range ends {
			k := f.put(f.kubbi(packaged, limit(2)))
			ended := e.end(f, k)
			got := f.get(k, at(ttl))
			if got.Status != e.status || !got.EndedAt.Equal(ended) || got.Secret != (store.Secret{}) || got.Record != nil || got.FileCount != 2 {
				f.Errorf("%s: %+v", e.name, got)
			}
		}
	}},
	{"unknown or someone else's is ErrNotFound", func(f *fixture) {
		k := f.put(f.kubbi())
		f.getFails(f.kubbi(), t0, store.ErrNotFound)
		for _, id := range []string{"", "x", k.ID + "x", "{" + k.ID + "}"} {
			if _, err := f.s.Get(f.Context(), owner, id, t0); !errors.Is(err, store.ErrNotFound) {
				f.Errorf("id %q: %v", id, err)
			}
		}
		for _, name := range []string{other, "", "OWNER-A", owner + " "} {
			if _, err := f.s.Get(f.Context(), name, k.ID, t0); !errors.Is(err, store.ErrNotFound) {
				f.Errorf("owner %q: %v", name, err)
			}
		}
	}},
}

var deletes = []testCase{
	{"ends an active kubbi and wipes it", func(f *fixture) {
		k := f.put(f.kubbi(packaged))
		f.same("deleted", tombstone(k, store.Deleted, at(time.Second)), f.delete(k, at(time.Second)))
		f.same("get", tombstone(k, store.Deleted, at(time.Second)), f.get(k, at(time.Second)))
		f.masterKeys()
	}},
	{"wipes whatever grace is open", func(f *fixture) {
		k := f.put(f.kubbi(limit(5)))
		f.claim(k, claimKey("a"), t0)
		f.claim(k, claimKey("b"), t0)
		f.delete(k, t0)
		f.masterKeys()
		f.claimFails(k, claimKey("a"), t0, store.ErrDeleted)
		f.claimFails(k, claimKey("b"), t0, store.ErrDeleted)
	}},
	{"what is not active says why", func(f *fixture) {
		for _, e := range ends {
			k := f.put(f.kubbi(limit(2)))
			e.end(f, k)
			before := f.get(k, at(ttl))
			if _, err := f.s.Delete(f.Context(), owner, k.ID, at(ttl)); !errors.Is(err, e.err) {
				f.Errorf("%s: %v, want %v", e.name, err, e.err)
			}
			f.same(e.name, before, f.get(k, at(ttl)))
		}
	}},
	{"burned with an open grace keeps it", func(f *fixture) {
		k := f.put(f.kubbi(limit(1)))
		f.claim(k, claimKey("a"), t0)
		if _, err := f.s.Delete(f.Context(), owner, k.ID, t0); !errors.Is(err, store.ErrBurned) {
			f.Errorf("error %v", err)
		}
		f.claim(k, claimKey("a"), t0)
	}},
	{"unknown or someone else's is ErrNotFound", func(f *fixture) {
		k := f.put(f.kubbi())
		for who, id := range map[string]string{owner: f.kubbi().ID, other: k.ID, "": k.ID} {
			if _, err := f.s.Delete(f.Context(), who, id, t0); !errors.Is(err, store.ErrNotFound) {
				f.Errorf("%q: %v", who, err)
			}
		}
		f.claim(k, nil, t0)
	}},
}

func (f *fixture) list(who string, p store.Page, now time.Time) *store.Listed {
	f.Helper()
	l, err := f.s.List(f.Context(), who, p, now)
	if err != nil {
		f.Fatalf("list: %v", err)
	}
	if l.Anchor == (store.Anchor{}) {
		f.Error("anchor is zero")
	}
	return l
}

func ids(kubbis []store.Kubbi) []string {
	out := []string{}
	for _, k := range kubbis {
		out = append(out, k.ID)
	}
	return out
}

// pages reads all pages with one anchor. It calls between, if not nil, after each page.
func (f *fixture) pages(size int, between func(page int)) []string {
	f.Helper()
	got := []string{}
	p := store.Page{Number: 1, Limit: size}
	for {
		l := f.list(owner, p, t0)
		if (p.Number-1)*size >= l.Total {
			if len(l.Kubbis) != 0 {
				f.Errorf("page %d of %d has %d", p.Number, l.Total, len(l.Kubbis))
			}
			return got
		}
		got = append(got, ids(l.Kubbis)...)
		if between != nil {
			between(p.Number)
		}
		p.Number++
		p.Anchor = l.Anchor
	}
}

var lists = []testCase{
	{"newest first", func(f *fixture) {
		want := []string{}
		for _, s := range []int{3, 1, 2} { // not in the order of their times
			f.put(f.kubbi(func(k *store.Kubbi) { k.CreatedAt = at(time.Duration(s) * time.Second) }))
		}
		l := f.list(owner, store.Page{Number: 1, Limit: 10}, t0)
		for i := range l.Kubbis {
			want = append(want, l.Kubbis[i].ID)
			if i > 0 && l.Kubbis[i].CreatedAt.After(l.Kubbis[i-1].CreatedAt) {
				f.Errorf("%v comes after %v", l.Kubbis[i].CreatedAt, l.Kubbis[i-1].CreatedAt)
			}
		}
		if len(want) != 3 || l.Total != 3 {
			f.Errorf("%d kubbis, total %d", len(want), l.Total)
		}
	}},
	{"same millisecond: latest first", func(f *fixture) {
		want := make([]string, 10)
		for i := range want {
			want[len(want)-1-i] = f.put(f.kubbi()).ID
		}
		f.same("list", want, f.pages(10, nil))
		f.same("pages", want, f.pages(3, nil))
	}},
	{"any status, as it is now, and only the owner's", func(f *fixture) {
		var want []*store.Kubbi
		for _, e := range ends[2:] {
			k := f.put(f.kubbi(limit(2), packaged))
			e.end(f, k)
			want = append(want, f.get(k, at(ttl)))
		}
		k := f.put(f.kubbi(packaged))
		want = append(want, tombstone(k, store.Expired, at(ttl)))
		f.put(f.kubbi(func(k *store.Kubbi) { k.Owner = other }))
		l := f.list(owner, store.Page{Number: 1, Limit: 10}, at(ttl))
		if len(l.Kubbis) != len(want) || l.Total != len(want) {
			f.Fatalf("%d kubbis, total %d, want %d", len(l.Kubbis), l.Total, len(want))
		}
		for i := range l.Kubbis {
			f.same("list", want[len(want)-1-i], &l.Kubbis[i])
		}
		if l := f.list(other, store.Page{Number: 1, Limit: 10}, t0); l.Total != 1 {
			f.Errorf("the other owner has %d", l.Total)
		}
	}},
	{"unknown owner has an empty list", func(f *fixture) {
		f.put(f.kubbi())
		if l := f.list("nobody", store.Page{Number: 1, Limit: 10}, t0); l.Total != 0 || len(l.Kubbis) != 0 {
			f.Errorf("%+v", l)
		}
	}},
	{"empty store has an empty list", func(f *fixture) {
		l := f.list(owner, store.Page{Number: 1, Limit: 10}, t0)
		if l.Total != 0 || len(l.Kubbis) != 0 {
			f.Errorf("%+v", l)
		}
		f.put(f.kubbi())
		if l := f.list(owner, store.Page{Number: 1, Limit: 10, Anchor: l.Anchor}, t0); l.Total != 0 || len(l.Kubbis) != 0 {
			f.Errorf("with the anchor of before the first: %+v", l)
		}
	}},
	{"a page beyond the end is empty", func(f *fixture) {
		for range 3 {
			f.put(f.kubbi())
		}
		for _, number := range []int{2, 3, 1 << 40, 1<<63 - 1} {
			if l := f.list(owner, store.Page{Number: number, Limit: 3}, t0); len(l.Kubbis) != 0 || l.Total != 3 {
				f.Errorf("page %d: %d kubbis, total %d", number, len(l.Kubbis), l.Total)
			}
		}
	}},
	{"stable under inserts", func(f *fixture) {
		want := make([]string, 25)
		for i := range want {
			want[len(want)-1-i] = f.put(f.kubbi()).ID
		}
		got := f.pages(4, func(int) {
			f.put(f.kubbi())
			f.put(f.kubbi(func(k *store.Kubbi) { k.CreatedAt = at(time.Hour) }))
		})
		f.same("pages", want, got)
	}},
	{"anchor keeps the total", func(f *fixture) {
		for range 5 {
			f.put(f.kubbi())
		}
		anchor := f.list(owner, store.Page{Number: 1, Limit: 2}, t0).Anchor
		f.put(f.kubbi())
		f.put(f.kubbi(func(k *store.Kubbi) { k.Owner = other }))
		if l := f.list(owner, store.Page{Number: 2, Limit: 2, Anchor: anchor}, t0); l.Total != 5 || l.Anchor.Newest != anchor.Newest {
			f.Errorf("total %d, anchor %v, want 5 and %v", l.Total, l.Anchor, anchor)
		}
		if l := f.list(owner, store.Page{Number: 1, Limit: 2}, t0); l.Total != 6 {
			f.Errorf("total %d without anchor, want 6", l.Total)
		}
	}},
	{"one status, as it is now", func(f *fixture) {
		want := map[store.Status][]string{}
		for range 3 {
			k := f.put(f.kubbi(func(k *store.Kubbi) { k.ExpiresAt = at(ttl / 2) }))
			want[store.Expired] = append([]string{k.ID}, want[store.Expired]...)
			for _, e := range ends[2:] {
				k := f.put(f.kubbi(limit(2), packaged))
				e.end(f, k)
				k = f.get(k, at(ttl-time.Millisecond))
				want[k.Status] = append([]string{k.ID}, want[k.Status]...)
			}
			k = f.put(f.kubbi(packaged))
			want[store.Active] = append([]string{k.ID}, want[store.Active]...)
		}
		f.put(f.kubbi(func(k *store.Kubbi) { k.Owner = other }))
		for _, s := range []store.Status{store.Active, store.Expired, store.Burned, store.Deleted} {
			p := store.Page{Number: 1, Limit: 2, Status: &s}
			got := []string{}
			for ; p.Number <= 3; p.Number++ {
				l := f.list(owner, p, at(ttl-time.Millisecond))
				for i := range l.Kubbis {
					if l.Kubbis[i].Status != s {
						f.Errorf("status %d: shows one of status %d", s, l.Kubbis[i].Status)
					}
				}
				if l.Total != len(want[s]) {
					f.Errorf("status %d: total %d, want %d", s, l.Total, len(want[s]))
				}
				got = append(got, ids(l.Kubbis)...)
				p.Anchor = l.Anchor
			}
			f.same("pages", append([]string{}, want[s]...), got)
		}
	}},
	{"one status, an active one that has expired is Expired", func(f *fixture) {
		k := f.put(f.kubbi(packaged))
		later := f.put(f.kubbi(func(k *store.Kubbi) { k.ExpiresAt = at(2 * ttl) }))
		for _, swept := range []bool{false, true} {
			if swept {
				f.sweep(at(ttl))
			}
			l := f.list(owner, store.Page{Number: 1, Limit: 10, Status: new(store.Expired)}, at(ttl))
			if len(l.Kubbis) != 1 || l.Total != 1 {
				f.Fatalf("%d kubbis, total %d, want 1", len(l.Kubbis), l.Total)
			}
			f.same("expired", tombstone(k, store.Expired, at(ttl)), &l.Kubbis[0])
			l = f.list(owner, store.Page{Number: 1, Limit: 10, Status: new(store.Active)}, at(ttl))
			f.same("active", []string{later.ID}, ids(l.Kubbis))
		}
	}},
	{"one status, without what is newer than the anchor or removed", func(f *fixture) {
		var want []string
		for range 4 {
			want = append([]string{f.delete(f.put(f.kubbi()), t0).ID}, want...)
		}
		p := store.Page{Number: 1, Limit: 10, Status: new(store.Deleted)}
		p.Anchor = f.list(owner, p, t0).Anchor
		f.delete(f.put(f.kubbi()), t0)
		f.same("with the anchor", want, ids(f.list(owner, p, t0).Kubbis))
		if swept, err := f.s.Sweep(f.Context(), at(time.Second), 0, 100); err != nil || swept.Removed != 5 {
			f.Fatalf("sweep: %+v, error %v", swept, err)
		}
		if l := f.list(owner, p, t0); l.Total != 0 || len(l.Kubbis) != 0 {
			f.Errorf("removed ones are shown: %d of %d", len(l.Kubbis), l.Total)
		}
		for _, number := range []int{0, -1, 2, 1 << 40, 1<<63 - 1} {
			f.delete(f.put(f.kubbi()), t0)
			if l := f.list(owner, store.Page{Number: number, Limit: 10, Status: p.Status}, t0); len(l.Kubbis) != 0 {
				f.Errorf("page %d has %d kubbis", number, len(l.Kubbis))
			}
		}
	}},
	{"stable under removals", func(f *fixture) {
		// After the first page one kubbi in three is removed.
		var all []string
		removed := map[string]bool{}
		for i := range 24 {
			k := f.put(f.kubbi())
			all = append([]string{k.ID}, all...)
			if i%3 == 0 {
				f.delete(k, t0)
				removed[k.ID] = true
			}
		}
		got := f.pages(5, func(page int) {
			if page == 1 {
				swept, err := f.s.Sweep(f.Context(), at(time.Second), 0, 100)
				if err != nil || swept.Removed != 8 {
					f.Fatalf("sweep: %+v, error %v", swept, err)
				}
			}
		})
		want := []string{}
		for i, id := range all {
			if i < 5 || !removed[id] {
				want = append(want, id)
			}
		}
		f.same("pages", want, got)
		if l := f.list(owner, store.Page{Number: 1, Limit: 100}, t0); l.Total != 16 || len(l.Kubbis) != 16 {
			f.Errorf("a new list has %d of %d, want 16", len(l.Kubbis), l.Total)
		}
	}},
}
