package storetest

import (
	"context"
	"errors"
	"io"
	"time"

	"kubbi-mcp/relay/store"
)

// ends are the ways in which a kubbi of two retrievals ends.
var ends = []struct {
	name   string
	status store.Status
	err    error
	end    func(f *fixture, k *store.Kubbi) time.Time // and when it did
}{
	{"expired", store.Expired, store.ErrExpired, func(*fixture, *store.Kubbi) time.Time { return at(ttl) }},
	{"expired and swept", store.Expired, store.ErrExpired, func(f *fixture, k *store.Kubbi) time.Time {
		f.sweep(at(ttl + time.Minute))
		return at(ttl)
	}},
	{"burned", store.Burned, store.ErrBurned, func(f *fixture, k *store.Kubbi) time.Time {
		f.claim(k, nil, at(time.Second))
		f.claim(k, nil, at(2*time.Second))
		return at(2 * time.Second)
	}},
	{"deleted", store.Deleted, store.ErrDeleted, func(f *fixture, k *store.Kubbi) time.Time {
		f.delete(k, at(time.Second))
		return at(time.Second)
	}},
}

var inspects = []testCase{
	{"gives an active kubbi and counts nothing", func(f *fixture) {
		k := f.put(f.kubbi(limit(1)))
		for range 3 {
			got, err := f.s.Inspect(f.Context(), k.Token, t0)
			if err != nil {
				f.Fatal(err)
			}
			f.same("inspect", k, got)
		}
		f.claim(k, nil, t0)
	}},
	{"says why there is none", func(f *fixture) {
		if _, err := f.s.Inspect(f.Context(), f.kubbi().Token, t0); !errors.Is(err, store.ErrNotFound) {
			f.Errorf("unknown token: %v", err)
		}
		for _, e := range ends {
			k := f.put(f.kubbi(limit(2)))
			e.end(f, k)
			if _, err := f.s.Inspect(f.Context(), k.Token, at(ttl)); !errors.Is(err, e.err) {
				f.Errorf("%s: %v, want %v", e.name, err, e.err)
			}
		}
	}},
	{"expires exactly at ExpiresAt", func(f *fixture) {
		k := f.put(f.kubbi())
		if _, err := f.s.Inspect(f.Context(), k.Token, at(ttl-time.Millisecond)); err != nil {
			f.Errorf("a millisecond before: %v", err)
		}
		if _, err := f.s.Inspect(f.Context(), k.Token, at(ttl)); !errors.Is(err, store.ErrExpired) {
			f.Errorf("at its time: %v", err)
		}
	}},
}

var claims = []testCase{
	{"counts and gives the payload", func(f *fixture) {
		k := f.put(f.kubbi(packaged, limit(2)))
		c, got := f.claim(k, nil, at(time.Second))
		want := *k
		want.Retrievals, want.FirstRetrievedAt, want.LastRetrievedAt = 1, at(time.Second), at(time.Second)
		f.same("claimed", want, c.Kubbi)
		f.same("get", &want, f.get(k, at(time.Second)))
		if got != sealed(k) || c.Number != 1 || c.Burned || c.Replay {
			f.Errorf("payload %q, number %d, burned %v, replay %v", got, c.Number, c.Burned, c.Replay)
		}
	}},
	{"last one burns, and has Secret and Record still", func(f *fixture) {
		k := f.put(f.kubbi(packaged, limit(2)))
		f.claim(k, nil, at(time.Second))
		c, got := f.claim(k, nil, at(2*time.Second))
		want := *k
		want.Retrievals, want.FirstRetrievedAt, want.LastRetrievedAt = 2, at(time.Second), at(2*time.Second)
		want.Status, want.EndedAt = store.Burned, at(2*time.Second)
		f.same("claimed", want, c.Kubbi)
		if got != sealed(k) || c.Number != 2 || !c.Burned || c.Replay {
			f.Errorf("payload %q, number %d, burned %v, replay %v", got, c.Number, c.Burned, c.Replay)
		}
		f.same("get", tombstone(&want, store.Burned, at(2*time.Second)), f.get(k, at(2*time.Second)))
	}},
	{"without a limit never burns", func(f *fixture) {
		k := f.put(f.kubbi())
		for i := range 10 {
			if c, got := f.claim(k, nil, t0); c.Burned || c.Number != i+1 || got != sealed(k) {
				f.Fatalf("claim %d: number %d, burned %v, payload %q", i+1, c.Number, c.Burned, got)
			}
		}
	}},
	{"the last without a key wipes at once", func(f *fixture) {
		k := f.put(f.kubbi(limit(1)))
		f.masterKeys("key-1")
		f.claim(k, nil, t0)
		f.masterKeys()
		f.claimFails(k, nil, t0, store.ErrBurned)
		f.claimFails(k, claimKey("a"), t0, store.ErrBurned)
	}},
	{"the last without a key leaves an open grace its payload", func(f *fixture) {
		k := f.put(f.kubbi(limit(2)))
		f.claim(k, claimKey("a"), t0)
		f.claim(k, nil, at(time.Second))
		f.claimFails(k, nil, at(time.Second), store.ErrBurned)
		f.masterKeys("key-1")
		if c, got := f.claim(k, claimKey("a"), at(2*time.Second)); got != sealed(k) || !c.Replay || c.Burned {
			f.Errorf("payload %q, replay %v, burned %v", got, c.Replay, c.Burned)
		}
		f.release(k, claimKey("a"), at(3*time.Second))
		f.masterKeys()
	}},
	{"the last without a key wipes when the grace before has ended", func(f *fixture) {
		k := f.put(f.kubbi(limit(2)))
		f.claim(k, claimKey("a"), t0)
		f.claim(k, nil, at(grace))
		f.masterKeys()
	}},
	{"errors are Inspect's and count nothing", func(f *fixture) {
		f.claimFails(f.kubbi(), nil, t0, store.ErrNotFound)
		for _, e := range ends {
			k := f.put(f.kubbi(limit(2)))
			e.end(f, k)
			before := f.get(k, at(ttl))
			f.claimFails(k, nil, at(ttl), e.err)
			f.claimFails(k, claimKey("a"), at(ttl), e.err)
			f.same(e.name, before, f.get(k, at(ttl)))
		}
	}},
	{"expires exactly at ExpiresAt", func(f *fixture) {
		k := f.put(f.kubbi())
		f.claim(k, nil, at(ttl-time.Millisecond))
		f.claimFails(k, nil, at(ttl), store.ErrExpired)
	}},
	{"a master key that the caller does not have is ErrMasterKey and counts nothing", func(f *fixture) {
		k := f.put(f.kubbi(limit(2)))
		with := func(key *store.ClaimKey, opens []string) error {
			_, err := f.s.Claim(f.Context(), k.Token, key, opens, t0)
			return err
		}
		for _, opens := range [][]string{{}, {"key-2"}, {"", "key", "KEY-1", "key-11"}} {
			for _, key := range []*store.ClaimKey{nil, claimKey("a")} {
				if err := with(key, opens); !errors.Is(err, store.ErrMasterKey) {
					f.Errorf("with %q: %v", opens, err)
				}
			}
		}
		f.same("the kubbi", k, f.get(k, t0))
		if err := with(claimKey("a"), []string{"key-2", "key-1"}); err != nil {
			f.Error(err)
		}
		if err := with(claimKey("a"), []string{"key-2"}); !errors.Is(err, store.ErrMasterKey) {
			f.Errorf("a replay: %v", err)
		}
		if err := with(nil, []string{"key-1"}); err != nil {
			f.Error(err)
		}
		f.claimFails(k, nil, t0, store.ErrBurned)
		if err := with(nil, []string{"key-1"}); !errors.Is(err, store.ErrBurned) {
			f.Error(err)
		}
	}},
	{"payload may be left unread or half read", func(f *fixture) {
		k := f.kubbi()
		whole := large(3 << 20)
		f.create(k, bytesOf(whole), nil)
		if _, err := f.s.Claim(f.Context(), k.Token, nil, nil, t0); err != nil {
			f.Fatal(err)
		}
		c, err := f.s.Claim(f.Context(), k.Token, nil, nil, t0)
		if err != nil {
			f.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, c.Payload, 100_000); err != nil {
			f.Fatal(err)
		}
		if err := c.Payload.Close(); err != nil {
			f.Fatal(err)
		}
		if _, got := f.claim(k, nil, t0); got != whole {
			f.Errorf("payload has %d bytes, want %d", len(got), len(whole))
		}
	}},
	{"payload outlives a wipe", func(f *fixture) {
		for _, size := range []int{10, 3 << 20} {
			k, whole := f.kubbi(limit(2)), large(size)
			f.create(k, bytesOf(whole), nil)
			c, err := f.s.Claim(f.Context(), k.Token, nil, nil, t0)
			if err != nil {
				f.Fatal(err)
			}
			f.delete(k, t0)
			f.sweep(at(2 * time.Second))
			if c.Secret != k.Secret {
				f.Error("the secret is another")
			}
			if got := f.payload(c); got != whole {
				f.Errorf("payload has %d bytes, want %d", len(got), size)
			}
		}
	}},
	{"payload ends with the claim's context", func(f *fixture) {
		k := f.kubbi()
		f.create(k, bytesOf(large(3<<20)), nil)
		ctx, cancel := context.WithCancel(f.Context())
		c, err := f.s.Claim(ctx, k.Token, nil, nil, t0)
		if err != nil {
			f.Fatal(err)
		}
		cancel()
		if n, err := io.Copy(io.Discard, c.Payload); err == nil {
			f.Errorf("read %d bytes after it", n)
		}
	}},
}

var claimKeys = []testCase{
	{"replay counts nothing and is the same", func(f *fixture) {
		k := f.put(f.kubbi(packaged, limit(3)))
		first, _ := f.claim(k, claimKey("a"), at(time.Second))
		f.claim(k, nil, at(2*time.Second)) // other claims still count
		second, got := f.claim(k, claimKey("a"), at(3*time.Second))
		f.same("replay", first.Kubbi, second.Kubbi)
		if got != sealed(k) || second.Number != 1 || second.Burned || !second.Replay {
			f.Errorf("payload %q, number %d, burned %v, replay %v", got, second.Number, second.Burned, second.Replay)
		}
		if n := f.get(k, t0).Retrievals; n != 2 {
			f.Errorf("%d retrievals, want 2", n)
		}
	}},
	{"replay after that claim burned", func(f *fixture) {
		k := f.put(f.kubbi(packaged, limit(1)))
		first, _ := f.claim(k, claimKey("a"), at(time.Second))
		if !first.Burned || first.Replay {
			f.Fatalf("burned %v, replay %v", first.Burned, first.Replay)
		}
		f.same("get", tombstone(&first.Kubbi, store.Burned, at(time.Second)), f.get(k, at(2*time.Second)))
		for range 3 {
			again, got := f.claim(k, claimKey("a"), at(2*time.Second))
			f.same("replay", first.Kubbi, again.Kubbi)
			if got != sealed(k) || again.Number != 1 || !again.Burned || !again.Replay {
				f.Errorf("payload %q, number %d, burned %v, replay %v", got, again.Number, again.Burned, again.Replay)
			}
		}
		f.claimFails(k, nil, at(2*time.Second), store.ErrBurned)
		f.claimFails(k, claimKey("b"), at(2*time.Second), store.ErrBurned)
	}},
	{"replay after another claim burned it", func(f *fixture) {
		k := f.put(f.kubbi(limit(2)))
		first, _ := f.claim(k, claimKey("a"), at(time.Second))
		f.claim(k, claimKey("b"), at(2*time.Second))
		again, got := f.claim(k, claimKey("a"), at(3*time.Second))
		f.same("replay", first.Kubbi, again.Kubbi)
		if got != sealed(k) || again.Burned {
			f.Errorf("payload %q, burned %v", got, again.Burned)
		}
	}},
	{"replay after it has expired", func(f *fixture) {
		for _, sweep := range []bool{false, true} {
			k := f.put(f.kubbi())
			first, _ := f.claim(k, claimKey("a"), at(ttl-time.Second))
			if sweep {
				if n := f.sweep(at(ttl)).Expired; n == 0 {
					f.Error("nothing expired")
				}
			}
			again, got := f.claim(k, claimKey("a"), at(ttl+time.Second))
			f.same("replay", first.Kubbi, again.Kubbi)
			if got != sealed(k) || !again.Replay {
				f.Errorf("payload %q, replay %v", got, again.Replay)
			}
			f.claimFails(k, claimKey("b"), at(ttl+time.Second), store.ErrExpired)
		}
	}},
	{"no replay after it was deleted", func(f *fixture) {
		k := f.put(f.kubbi())
		f.claim(k, claimKey("a"), t0)
		f.delete(k, at(time.Second))
		f.claimFails(k, claimKey("a"), at(2*time.Second), store.ErrDeleted)
		f.masterKeys()
	}},
	{"grace ends on time and replays do not prolong it", func(f *fixture) {
		k := f.put(f.kubbi(limit(1)))
		f.claim(k, claimKey("a"), t0)
		f.claim(k, claimKey("a"), at(grace-time.Millisecond))
		f.claimFails(k, claimKey("a"), at(grace), store.ErrBurned)
	}},
	{"after its grace a key counts anew", func(f *fixture) {
		k := f.put(f.kubbi(limit(3)))
		f.claim(k, claimKey("a"), t0)
		c, _ := f.claim(k, claimKey("a"), at(grace))
		if c.Number != 2 || c.Replay {
			f.Errorf("number %d, replay %v", c.Number, c.Replay)
		}
		if c, _ = f.claim(k, claimKey("a"), at(grace+time.Second)); c.Number != 2 || !c.Replay {
			f.Errorf("again: number %d, replay %v", c.Number, c.Replay)
		}
	}},
	{"many keys keep their own numbers and graces", func(f *fixture) {
		const n = 5
		k := f.put(f.kubbi(limit(n)))
		keys := make([]*store.ClaimKey, n)
		for i := range keys {
			keys[i] = claimKey(string(rune('a' + i)))
			if c, _ := f.claim(k, keys[i], at(time.Duration(i)*10*time.Second)); c.Number != i+1 {
				f.Fatalf("number %d, want %d", c.Number, i+1)
			}
		}
		for i := range keys {
			c, got := f.claim(k, keys[i], at(50*time.Second))
			if c.Number != i+1 || c.Burned != (i == n-1) || !c.Replay || got != sealed(k) {
				f.Errorf("key %d: number %d, burned %v, replay %v, payload %q", i, c.Number, c.Burned, c.Replay, got)
			}
		}
		for i := range keys { // the grace of key i ends at i*10s + grace
			now := at(time.Duration(i)*10*time.Second + grace)
			if swept := f.sweep(now); (swept.Wiped == 1) != (i == n-1) {
				f.Errorf("sweep at the end of grace %d: %+v", i, swept)
			}
			f.claimFails(k, keys[i], now, store.ErrBurned)
			if i < n-1 {
				f.claim(k, keys[i+1], now)
			}
		}
		f.masterKeys()
	}},
	{"a key is one kubbi's", func(f *fixture) {
		a, b := f.put(f.kubbi(limit(1))), f.put(f.kubbi(limit(1)))
		f.claim(a, claimKey("a"), t0)
		if c, got := f.claim(b, claimKey("a"), t0); c.Replay || got != sealed(b) {
			f.Errorf("replay %v, payload %q", c.Replay, got)
		}
	}},
}

var releases = []testCase{
	{"wipes a burned kubbi", func(f *fixture) {
		k := f.put(f.kubbi(limit(1)))
		f.claim(k, claimKey("a"), t0)
		f.masterKeys("key-1")
		f.release(k, claimKey("a"), at(time.Second))
		f.masterKeys()
		f.claimFails(k, claimKey("a"), at(time.Second), store.ErrBurned)
	}},
	{"wipes an expired kubbi", func(f *fixture) {
		for _, sweep := range []bool{false, true} {
			k := f.put(f.kubbi())
			f.claim(k, claimKey("a"), at(ttl-time.Second))
			if sweep {
				f.sweep(at(ttl))
			}
			f.release(k, claimKey("a"), at(ttl+time.Second))
			f.masterKeys()
			f.claimFails(k, claimKey("a"), at(ttl+time.Second), store.ErrExpired)
			if got := f.get(k, at(ttl+time.Second)); got.Status != store.Expired || !got.EndedAt.Equal(at(ttl)) {
				f.Errorf("status %d, ended at %v", got.Status, got.EndedAt)
			}
		}
	}},
	{"leaves an active kubbi as it is", func(f *fixture) {
		k := f.put(f.kubbi(limit(2)))
		f.claim(k, claimKey("a"), t0)
		f.release(k, claimKey("a"), t0)
		f.masterKeys("key-1")
		if got := f.get(k, t0); got.Retrievals != 1 || got.Status != store.Active {
			f.Errorf("%d retrievals, status %d", got.Retrievals, got.Status)
		}
		if c, _ := f.claim(k, claimKey("a"), t0); c.Replay || c.Number != 2 {
			f.Errorf("replay %v, number %d: the grace was not over", c.Replay, c.Number)
		}
	}},
	{"waits for the other graces", func(f *fixture) {
		for _, order := range [][]string{{"a", "b", "c"}, {"c", "b", "a"}, {"b", "c", "a"}} {
			k := f.put(f.kubbi(limit(3)))
			for _, name := range []string{"a", "b", "c"} {
				f.claim(k, claimKey(name), t0)
			}
			for i, name := range order {
				f.masterKeys("key-1")
				f.release(k, claimKey(name), t0)
				f.claimFails(k, claimKey(name), t0, store.ErrBurned)
				for _, open := range order[i+1:] {
					f.claim(k, claimKey(open), t0)
				}
			}
			f.masterKeys()
		}
	}},
	{"ignores other graces that have ended", func(f *fixture) {
		k := f.put(f.kubbi(limit(2)))
		f.claim(k, claimKey("a"), t0)
		f.claim(k, claimKey("b"), at(30*time.Second))
		f.release(k, claimKey("b"), at(grace))
		f.masterKeys()
	}},
	{"of what is not there", func(f *fixture) {
		f.releaseFails(f.kubbi(), claimKey("a"), t0, store.ErrNotFound)
		k := f.put(f.kubbi(limit(1)))
		f.release(k, claimKey("a"), t0)
		f.claim(k, claimKey("a"), t0)
		f.releaseFails(k, claimKey("b"), t0, store.ErrOtherKey)
		f.masterKeys("key-1")
		f.release(k, claimKey("a"), t0)
		f.release(k, claimKey("a"), t0)
		f.masterKeys()
	}},
	{"tells a wrong key while a grace is open", func(f *fixture) {
		k := f.put(f.kubbi(limit(3)))
		keys := []*store.ClaimKey{claimKey("a"), claimKey("b"), claimKey("c")}
		for i, key := range keys {
			f.claim(k, key, at(time.Duration(i)*time.Second))
			f.releaseFails(k, claimKey("x"), at(time.Duration(i)*time.Second), store.ErrOtherKey)
		}
		f.claimFails(k, claimKey("x"), at(3*time.Second), store.ErrOtherKey)
		f.claimFails(k, claimKey("x"), at(3*time.Second), store.ErrBurned)
		f.claimFailsNot(k, nil, at(3*time.Second), store.ErrOtherKey)
		f.release(k, keys[2], at(3*time.Second))
		f.release(k, keys[0], at(3*time.Second))
		f.claimFails(k, claimKey("x"), at(4*time.Second), store.ErrOtherKey)
		f.claim(k, keys[1], at(4*time.Second)) // however many wrong keys came before
		f.claimFailsNot(k, claimKey("x"), at(grace+time.Second), store.ErrOtherKey)
		f.release(k, claimKey("x"), at(grace+time.Second))

		e := f.put(f.kubbi())
		f.claim(e, claimKey("a"), at(ttl-time.Second))
		f.claimFails(e, claimKey("x"), at(ttl+time.Second), store.ErrOtherKey)
		f.claimFails(e, claimKey("x"), at(ttl+time.Second), store.ErrExpired)
	}},
}
