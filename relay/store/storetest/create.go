package storetest

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"kubbi-mcp/relay/store"
)

var creates = []testCase{
	{"keeps every field", func(f *fixture) {
		k := f.put(f.kubbi(limit(3)))
		f.same("get", k, f.get(k, t0))
		p := f.kubbi(packaged)
		f.create(p, bytesOf("ab"), nil)
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
	{"largest record, and a sealed address to notify", func(f *fixture) {
		k := f.put(f.kubbi(notified, func(k *store.Kubbi) { k.Record = []byte(large(store.MaxRecord)) }))
		f.same("get", k, f.get(k, t0))
	}},
	{"arbitrary bytes of any length", func(f *fixture) {
		random := make([]byte, 3<<20)
		src := rand.NewChaCha8([32]byte{})
		_, _ = src.Read(random)
		for name, payload := range map[string]string{
			"NUL": "\x00", "NULs": "a\x00b\x00", "not UTF-8": "\xff\xfe\x80", "quotes": `'";--`, "empty": "",
			"largest in a row": string(random[:store.MaxInRow]), "one byte more": string(random[:store.MaxInRow+1]),
			"MiB": string(random[:1<<20]), "MiBs": string(random),
		} {
			for _, key := range []*store.ClaimKey{nil, claimKey(name)} {
				k := f.kubbi(limit(1))
				f.create(k, bytesOf(payload), nil)
				if _, got := f.claim(k, key, t0); got != payload {
					f.Errorf("%s: %d bytes in, %d other bytes out", name, len(payload), len(got))
				}
				if key == nil {
					continue
				}
				if c, got := f.claim(k, key, t0); got != payload || !c.Replay {
					f.Errorf("%s, again: %d bytes in, %d other bytes out", name, len(payload), len(got))
				}
			}
		}
	}},
	{"reads the payload once, to its end, and the request's hash after it", func(f *fixture) {
		for _, size := range []int{1, store.MaxInRow, 3 << 20} {
			key := createKey(fmt.Sprint("late ", size))
			want := key.Request
			key.Request = store.Hash{}
			left, ends := size, 0
			f.create(f.kubbi(), readerFunc(func(p []byte) (int, error) {
				n := min(len(p), left, 100_000)
				if left -= n; n == 0 {
					ends++
					key.Request = want
					return 0, io.EOF
				}
				return n, nil
			}), key)
			if left != 0 || ends == 0 {
				f.Errorf("%d bytes are left, %d ends were seen", left, ends)
			}
			if _, err := f.s.Create(f.Context(), f.kubbi(), bytesOf("x"), key, store.Quota{}, t0); err != nil {
				f.Errorf("create again: %v", err)
			}
		}
	}},
	{"payload error is returned as it is and nothing is stored", func(f *fixture) {
		for _, after := range []int{0, 1, store.MaxInRow, 3 << 20} {
			want := errors.New("sealing failed")
			k := f.kubbi(func(k *store.Kubbi) { k.MasterKey = "failed" })
			if _, err := f.s.Create(f.Context(), k, failing(after, want), createKey("failed"), store.Quota{}, t0); err != want {
				f.Errorf("after %d bytes: error %v, want the payload's own", after, err)
			}
			f.getFails(k, t0, store.ErrNotFound)
			f.claimFails(k, nil, t0, store.ErrNotFound)
			f.masterKeys()
			f.create(k, bytesOf("x"), nil) // neither number, id, token nor key is taken
			f.delete(k, t0)
		}
		k := f.kubbi()
		f.create(k, bytesOf("x"), createKey("failed"))
	}},
	{"an id that does not carry the number is ErrExists", func(f *fixture) {
		k := f.kubbi()
		k.Token.Number++
		if _, err := f.s.Create(f.Context(), k, bytesOf("x"), nil, store.Quota{}, t0); !errors.Is(err, store.ErrExists) {
			f.Errorf("error %v", err)
		}
		f.claimFails(k, nil, t0, store.ErrNotFound)
	}},
	{"id in use is ErrExists", func(f *fixture) {
		a := f.put(f.kubbi())
		b := f.kubbi(func(k *store.Kubbi) { k.ID = a.ID })
		if _, err := f.s.Create(f.Context(), b, bytesOf("x"), nil, store.Quota{}, t0); !errors.Is(err, store.ErrExists) {
			f.Errorf("error %v", err)
		}
		f.claimFails(b, nil, t0, store.ErrNotFound)
		f.same("the first", a, f.get(a, t0))
	}},
	{"token in use is ErrExists", func(f *fixture) {
		a := f.put(f.kubbi())
		b := f.kubbi(func(k *store.Kubbi) { k.Token = a.Token })
		if _, err := f.s.Create(f.Context(), b, bytesOf("x"), nil, store.Quota{}, t0); !errors.Is(err, store.ErrExists) {
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
			f.kubbi(func(k *store.Kubbi) { k.Token = store.Token{Number: a.Token.Number, Hash: hash("another")} }),
		} {
			if _, err := f.s.Create(f.Context(), b, bytesOf("x"), nil, store.Quota{}, t0); !errors.Is(err, store.ErrExists) {
				f.Errorf("error %v", err)
			}
		}
	}},
	{"a token is known by all of it, and so is an id", func(f *fixture) {
		k := f.put(f.kubbi())
		for _, i := range []int{0, 31} {
			guess := *k
			guess.Token.Hash[i] ^= 1
			f.claimFails(&guess, nil, t0, store.ErrNotFound)
			f.claimFails(&guess, claimKey("a"), t0, store.ErrNotFound)
			f.releaseFails(&guess, claimKey("a"), t0, store.ErrNotFound)
		}
		guess := *k
		guess.ID = f.kubbi(func(g *store.Kubbi) { g.Token = k.Token }).ID
		f.getFails(&guess, t0, store.ErrNotFound)
		guess = *k
		guess.Token.Number = -guess.Token.Number
		f.claimFails(&guess, nil, t0, store.ErrNotFound)
	}},
}

func createKey(name string) *store.CreateKey {
	return &store.CreateKey{Key: hash("create " + name), Request: hash("request " + name), Answer: []byte("answer \x00" + name), Grace: grace}
}

func (f *fixture) wantReplay(k *store.Kubbi, key *store.CreateKey, now time.Time, want *store.Replay) {
	f.Helper()
	got, err := f.s.Create(f.Context(), k, bytesOf("of a replay"), key, store.Quota{}, now)
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
		f.create(k, bytesOf("a"), key)
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
		f.create(k, bytesOf("x"), key)
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
			f.create(k, bytesOf("a"), key)
			end(k)
			want := *k
			want.Secret, want.Record = store.Secret{}, nil
			f.wantReplay(f.kubbi(), key, at(2*time.Second), &store.Replay{Kubbi: want, Answer: key.Answer})
		}
	}},
	{"replay with the same number, id and token", func(f *fixture) {
		for name, size := range map[string]int{"small": 1, "large": store.MaxInRow + 1} {
			k := f.kubbi(limit(1))
			key := createKey(name)
			payload := strings.Repeat("x", size)
			f.create(k, bytesOf(payload), key)
			again := func(key *store.CreateKey) (*store.Replay, error) {
				other := *k
				other.Secret[0]++
				return f.s.Create(f.Context(), &other, bytesOf(payload), key, store.Quota{}, at(time.Second))
			}
			if got, err := again(key); err != nil || got == nil {
				f.Fatalf("%s: replay %v, error %v", name, got, err)
			} else {
				f.same(name, &store.Replay{Kubbi: *k, Answer: key.Answer}, got)
			}
			for _, key := range []*store.CreateKey{nil, createKey("another")} {
				if got, err := again(key); !errors.Is(err, store.ErrExists) || errors.Is(err, store.ErrUnavailable) {
					f.Errorf("%s, another key: replay %v, error %v", name, got, err)
				}
			}
			if _, got := f.claim(k, nil, at(time.Second)); got != payload {
				f.Errorf("%s: %d bytes", name, len(got))
			}
		}
	}},
	{"creates of one number at the same time", func(f *fixture) {
		k := f.kubbi(limit(1))
		payload := strings.Repeat("x", store.MaxInRow+1)
		// While the first one reads its payload, the second one runs.
		first := io.MultiReader(bytesOf(payload), readerFunc(func([]byte) (int, error) {
			_, err := f.s.Create(f.Context(), k, bytesOf(payload), nil, store.Quota{}, t0)
			if err != nil && !errors.Is(err, store.ErrExists) {
				f.Errorf("the second: %v", err)
			}
			return 0, io.EOF
		}))
		if _, err := f.s.Create(f.Context(), k, first, nil, store.Quota{}, t0); err != nil && !errors.Is(err, store.ErrExists) {
			f.Errorf("the first: %v", err)
		}
		if _, got := f.claim(k, nil, t0); got != payload {
			f.Errorf("%d bytes", len(got))
		}
	}},
	{"another request is ErrKeyReused", func(f *fixture) {
		key := createKey("a")
		f.create(f.kubbi(), bytesOf("x"), key)
		reused := *key
		reused.Request = hash("another request")
		k := f.kubbi()
		if _, err := f.s.Create(f.Context(), k, bytesOf("x"), &reused, store.Quota{}, at(time.Second)); !errors.Is(err, store.ErrKeyReused) {
			f.Errorf("error %v", err)
		}
		f.getFails(k, t0, store.ErrNotFound)
	}},
	{"key is new again when its grace has ended", func(f *fixture) {
		for name, sweep := range map[string]bool{"unswept": false, "swept": true} {
			key := createKey(name)
			f.create(f.kubbi(), bytesOf("x"), key)
			if sweep {
				f.sweep(at(grace))
			}
			k := f.kubbi(func(k *store.Kubbi) { k.CreatedAt = at(grace) })
			later := *key
			later.Request = hash("another request")
			f.create(k, bytesOf(sealed(k)), &later)
			if _, got := f.claim(k, nil, at(grace)); got != sealed(k) {
				f.Errorf("payload is %q", got)
			}
			f.wantReplay(f.kubbi(), &later, at(grace+time.Second), &store.Replay{Kubbi: *k, Answer: key.Answer})
		}
	}},
	{"replays do not prolong the grace", func(f *fixture) {
		k := f.kubbi()
		key := createKey("a")
		f.create(k, bytesOf("x"), key)
		f.wantReplay(f.kubbi(), key, at(grace-time.Second), &store.Replay{Kubbi: *k, Answer: key.Answer})
		f.create(f.kubbi(func(k *store.Kubbi) { k.CreatedAt = at(grace) }), bytesOf("x"), key)
	}},
	{"keys are apart", func(f *fixture) {
		a, b := createKey("a"), createKey("b")
		b.Key = a.Key
		b.Key[31] ^= 1
		f.create(f.kubbi(), bytesOf("x"), a)
		f.create(f.kubbi(), bytesOf("x"), b)
	}},
}
