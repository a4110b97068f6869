package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"kubbi-mcp/relay/store"
)

var creates = []testCase{
	{"keeps every field", func(f *fixture) {
		k := f.put(f.kubbi(limit(3)))
		f.same("get", k, f.get(k, t0))
		p := f.kubbi(packaged)
		f.create(p, sequence([]store.Chunk{{Sealed: []byte("a")}, {Part: 1, Sealed: []byte("b")}}), nil)
		f.same("get", p, f.get(p, t0))
	}},
	{"keeps milliseconds in UTC", func(f *fixture) {
		zone := time.FixedZone("east", 3600)
		k := f.put(f.kubbi(func(k *store.Kubbi) {
			k.CreatedAt = at(123456789 * time.Nanosecond).In(zone)
			k.ExpiresAt = at(ttl + 987654321*time.Nanosecond).In(zone)
		}))
		got := f.get(k, t0)
		if want := at(123 * time.Millisecond); !got.CreatedAt.Equal(want) || got.CreatedAt.Location() != time.UTC {
			f.Errorf("created at %v, want %v", got.CreatedAt, want)
		}
		if want := at(ttl + 987*time.Millisecond); !got.ExpiresAt.Equal(want) || got.ExpiresAt.Location() != time.UTC {
			f.Errorf("expires at %v, want %v", got.ExpiresAt, want)
		}
	}},
	{"absent metadata stays absent", func(f *fixture) {
		k := f.put(f.kubbi(func(k *store.Kubbi) { k.Metadata = nil }))
		if got := f.get(k, t0); got.Metadata != nil {
			f.Errorf("metadata is %q, want nil", got.Metadata)
		}
	}},
	{"arbitrary bytes", func(f *fixture) {
		random := make([]byte, store.MaxChunk)
		src := rand.NewChaCha8([32]byte{})
		_, _ = src.Read(random)
		for name, payload := range map[string]string{
			"NUL": "\x00", "NULs": "a\x00b\x00", "not UTF-8": "\xff\xfe\x80", "quotes": `'";--`,
			"largest": string(random), "empty": "",
		} {
			k := f.kubbi()
			f.create(k, chunks(payload), nil)
			if _, got := f.claim(k, nil, t0); got != payload {
				f.Errorf("%s: %d bytes in, %d other bytes out", name, len(payload), len(got))
			}
		}
	}},
	{"empty payload has its chunk", func(f *fixture) {
		k := f.kubbi()
		f.create(k, chunks(""), nil)
		c, err := f.s.Claim(f.Context(), k.Token, nil, nil, t0)
		if err != nil {
			f.Fatal(err)
		}
		n := 0
		for range c.Payload {
			n++
		}
		if n != 1 {
			f.Errorf("%d chunks, want 1", n)
		}
	}},
	{"many parts and chunks come back in order", func(f *fixture) {
		var in []store.Chunk
		want := ""
		for part := range 20 {
			for i := range 1 + part%7 {
				b := fmt.Appendf(nil, "%d/%d", part, i)
				in = append(in, store.Chunk{Part: part, Index: i, Sealed: b})
				want += fmt.Sprintf(" %d.%d=%s", part, i, b)
			}
		}
		k := f.kubbi()
		f.create(k, sequence(in), nil)
		if _, got := f.claim(k, nil, t0); " "+got != want {
			f.Errorf("payload is%s, want%s", got, want)
		}
	}},
	{"large payload", func(f *fixture) {
		// The same buffer for every chunk, as a sealer may do.
		const n = 12
		buf := make([]byte, store.MaxChunk)
		k := f.kubbi()
		f.create(k, func(yield func(store.Chunk, error) bool) {
			for i := range n {
				for j := range buf {
					buf[j] = byte(i + 1)
				}
				if !yield(store.Chunk{Index: i, Sealed: buf}, nil) {
					return
				}
			}
		}, nil)
		c, err := f.s.Claim(f.Context(), k.Token, nil, nil, t0)
		if err != nil {
			f.Fatal(err)
		}
		i := 0
		for chunk := range c.Payload {
			if chunk.Index != i || string(chunk.Sealed) != repeat(byte(i+1), store.MaxChunk) {
				f.Fatalf("chunk %d is wrong", i)
			}
			i++
		}
		if i != n {
			f.Errorf("%d chunks, want %d", i, n)
		}
	}},
	{"reads the payload once", func(f *fixture) {
		reads := 0
		one := chunks("x")
		f.create(f.kubbi(), func(yield func(store.Chunk, error) bool) {
			reads++
			one(yield)
		}, nil)
		if reads != 1 {
			f.Errorf("payload was read %d times", reads)
		}
	}},
	{"payload error is returned as it is and nothing is stored", func(f *fixture) {
		for _, after := range []int{0, 1, 3} {
			want := errors.New("sealing failed")
			k := f.kubbi(func(k *store.Kubbi) { k.MasterKey = "failed" })
			_, err := f.s.Create(f.Context(), k, func(yield func(store.Chunk, error) bool) {
				for i := range after {
					if !yield(store.Chunk{Index: i, Sealed: make([]byte, store.MaxChunk)}, nil) {
						return
					}
				}
				yield(store.Chunk{}, want)
			}, createKey("failed"), store.Quota{}, t0)
			if err != want {
				f.Errorf("after %d chunks: error %v, want the payload's own", after, err)
			}
			f.getFails(k, t0, store.ErrNotFound)
			f.claimFails(k, nil, t0, store.ErrNotFound)
			f.masterKeys()
			f.create(k, chunks("x"), nil) // neither id, token nor key is taken
			f.delete(k, t0)
		}
		k := f.kubbi()
		f.create(k, chunks("x"), createKey("failed"))
	}},
	{"refuses a payload without chunk, too large or out of order", func(f *fixture) {
		for name, payload := range map[string]store.Chunks{
			"no chunk":     sequence(nil),
			"too large":    chunks(repeat(1, store.MaxChunk+1)),
			"gap in part":  sequence([]store.Chunk{{}, {Part: 2}}),
			"gap in index": sequence([]store.Chunk{{}, {Index: 2}}),
			"no start":     sequence([]store.Chunk{{Index: 1}}),
			"backwards":    sequence([]store.Chunk{{}, {Part: 1}, {Part: 0, Index: 1}}),
		} {
			k := f.kubbi()
			if _, err := f.s.Create(f.Context(), k, payload, nil, store.Quota{}, t0); err == nil {
				f.Errorf("%s was stored", name)
			}
			f.getFails(k, t0, store.ErrNotFound)
		}
	}},
	{"id in use is ErrExists", func(f *fixture) {
		a := f.put(f.kubbi())
		b := f.kubbi(func(k *store.Kubbi) { k.ID = a.ID })
		if _, err := f.s.Create(f.Context(), b, chunks("x"), nil, store.Quota{}, t0); !errors.Is(err, store.ErrExists) {
			f.Errorf("error %v", err)
		}
		f.claimFails(b, nil, t0, store.ErrNotFound)
		f.same("the first", a, f.get(a, t0))
	}},
	{"token in use is ErrExists", func(f *fixture) {
		a := f.put(f.kubbi())
		b := f.kubbi(func(k *store.Kubbi) { k.Token = a.Token })
		if _, err := f.s.Create(f.Context(), b, chunks("x"), nil, store.Quota{}, t0); !errors.Is(err, store.ErrExists) {
			f.Errorf("error %v", err)
		}
		f.getFails(b, t0, store.ErrNotFound)
		if _, got := f.claim(a, nil, t0); got != sealed(a) {
			f.Errorf("payload is %q", got)
		}
	}},
	{"tombstone keeps id and token", func(f *fixture) {
		a := f.put(f.kubbi())
		f.delete(a, t0)
		for _, b := range []*store.Kubbi{
			f.kubbi(func(k *store.Kubbi) { k.ID = a.ID }),
			f.kubbi(func(k *store.Kubbi) { k.Token = a.Token }),
		} {
			if _, err := f.s.Create(f.Context(), b, chunks("x"), nil, store.Quota{}, t0); !errors.Is(err, store.ErrExists) {
				f.Errorf("error %v", err)
			}
		}
	}},
	{"tokens that differ late are different", func(f *fixture) {
		a := f.kubbi()
		b := f.kubbi(func(k *store.Kubbi) { k.Token = a.Token; k.Token[31] ^= 1 })
		f.put(a)
		f.put(b)
		for _, k := range []*store.Kubbi{a, b} {
			if _, got := f.claim(k, nil, t0); got != sealed(k) {
				f.Errorf("payload is %q, want %q", got, sealed(k))
			}
		}
	}},
}

func createKey(name string) *store.CreateKey {
	return &store.CreateKey{Key: hash("create " + name), Request: hash("request " + name), Answer: []byte("answer \x00" + name), Grace: grace}
}

func (f *fixture) wantReplay(k *store.Kubbi, key *store.CreateKey, now time.Time, want *store.Replay) {
	f.Helper()
	got, err := f.s.Create(f.Context(), k, chunks("of a replay"), key, store.Quota{}, now)
	if err != nil {
		f.Fatalf("create again: %v", err)
	}
	if got == nil {
		f.Fatal("create again made another one")
	}
	f.same("replay", want, got)
	f.claimFails(k, nil, now, store.ErrNotFound)
}

var createKeys = []testCase{
	{"replay within the grace creates nothing", func(f *fixture) {
		k := f.kubbi(packaged, limit(2))
		key := createKey("a")
		f.create(k, sequence([]store.Chunk{{Sealed: []byte("a")}, {Part: 1}}), key)
		again := f.kubbi()
		f.wantReplay(again, key, at(grace-time.Millisecond), &store.Replay{Kubbi: *k, Answer: key.Answer})
		f.getFails(again, t0, store.ErrNotFound)
		l, err := f.s.List(f.Context(), owner, store.Page{Number: 1, Limit: 10}, t0)
		if err != nil || l.Total != 1 {
			f.Errorf("list has %d, error %v", l.Total, err)
		}
	}},
	{"replay after claims shows it as it was stored", func(f *fixture) {
		k := f.kubbi()
		key := createKey("a")
		f.create(k, chunks("x"), key)
		f.claim(k, nil, at(time.Second))
		f.wantReplay(f.kubbi(), key, at(2*time.Second), &store.Replay{Kubbi: *k, Answer: key.Answer})
	}},
	{"replay after the end lacks only what is wiped", func(f *fixture) {
		for name, end := range map[string]func(*store.Kubbi){
			"burn":   func(k *store.Kubbi) { f.claim(k, nil, at(time.Second)) },
			"delete": func(k *store.Kubbi) { f.delete(k, at(time.Second)) },
		} {
			k := f.kubbi(limit(1), packaged)
			key := createKey(name)
			f.create(k, sequence([]store.Chunk{{Sealed: []byte("a")}, {Part: 1}}), key)
			end(k)
			want := *k
			want.Files, want.Metadata = nil, nil
			f.wantReplay(f.kubbi(), key, at(2*time.Second), &store.Replay{Kubbi: want, Answer: key.Answer})
		}
	}},
	{"another request is ErrKeyReused", func(f *fixture) {
		key := createKey("a")
		f.create(f.kubbi(), chunks("x"), key)
		reused := *key
		reused.Request = hash("another request")
		k := f.kubbi()
		if _, err := f.s.Create(f.Context(), k, chunks("x"), &reused, store.Quota{}, at(time.Second)); !errors.Is(err, store.ErrKeyReused) {
			f.Errorf("error %v", err)
		}
		f.getFails(k, t0, store.ErrNotFound)
	}},
	{"key is new again when its grace has ended", func(f *fixture) {
		for name, sweep := range map[string]bool{"unswept": false, "swept": true} {
			key := createKey(name)
			f.create(f.kubbi(), chunks("x"), key)
			if sweep {
				f.sweep(at(grace))
			}
			k := f.kubbi(func(k *store.Kubbi) { k.CreatedAt = at(grace) })
			later := *key
			later.Request = hash("another request")
			f.create(k, chunks(sealed(k)), &later)
			if _, got := f.claim(k, nil, at(grace)); got != sealed(k) {
				f.Errorf("payload is %q", got)
			}
			f.wantReplay(f.kubbi(), &later, at(grace+time.Second), &store.Replay{Kubbi: *k, Answer: key.Answer})
		}
	}},
	{"replays do not prolong the grace", func(f *fixture) {
		k := f.kubbi()
		key := createKey("a")
		f.create(k, chunks("x"), key)
		f.wantReplay(f.kubbi(), key, at(grace-time.Second), &store.Replay{Kubbi: *k, Answer: key.Answer})
		f.create(f.kubbi(func(k *store.Kubbi) { k.CreatedAt = at(grace) }), chunks("x"), key)
	}},
	{"keys are apart", func(f *fixture) {
		a, b := createKey("a"), createKey("b")
		b.Key = a.Key
		b.Key[31] ^= 1
		f.create(f.kubbi(), chunks("x"), a)
		f.create(f.kubbi(), chunks("x"), b)
	}},
}
