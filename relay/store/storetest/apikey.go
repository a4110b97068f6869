package storetest

import (
	"errors"
	"time"

	"kubbi-mcp/relay/store"
)

func (f *fixture) putKeys(keys ...store.APIKey) {
	f.Helper()
	for _, k := range keys {
		if err := f.s.PutAPIKey(f.Context(), k); err != nil {
			f.Fatalf("put api key: %v", err)
		}
	}
}

func (f *fixture) wantKey(want store.APIKey) {
	f.Helper()
	got, err := f.s.APIKey(f.Context(), want.Hash)
	if err != nil {
		f.Fatalf("api key: %v", err)
	}
	f.same("key", &want, got)
}

// fullKey has every field.
func fullKey(name string) store.APIKey {
	return store.APIKey{
		Hash: hash(name), Owner: owner, Label: "laptop ü '\"", CreatedAt: t0, ExpiresAt: at(time.Hour), RevokedAt: at(time.Minute),
		MaxTTL: 90 * time.Second, MaxBytes: 5 << 40, Rate: 600, Quota: store.Quota{Daily: 1000, Active: 50},
	}
}

var apiKeys = []testCase{
	{"is kept with every field", func(f *fixture) {
		for _, k := range []store.APIKey{
			fullKey("a"),
			{Hash: hash("b"), Owner: other, CreatedAt: t0},
			{Hash: hash("c"), Owner: owner, Label: "c", CreatedAt: t0, Quota: store.Quota{Active: 1}},
		} {
			f.putKeys(k)
			f.wantKey(k)
		}
	}},
	{"put again stays as it is", func(f *fixture) {
		first := store.APIKey{Hash: hash("a"), Owner: other, Label: "first", CreatedAt: at(time.Hour)}
		f.putKeys(first, fullKey("a"))
		f.wantKey(first)
	}},
	{"unknown is ErrNotFound", func(f *fixture) {
		near := fullKey("a")
		f.putKeys(near)
		near.Hash[31] ^= 1
		for _, h := range []store.Hash{hash("b"), near.Hash} {
			if _, err := f.s.APIKey(f.Context(), h); !errors.Is(err, store.ErrNotFound) {
				f.Errorf("error %v", err)
			}
			if _, err := f.s.RevokeAPIKey(f.Context(), h, t0); !errors.Is(err, store.ErrNotFound) {
				f.Errorf("revoke: %v", err)
			}
		}
	}},
	{"all of them, oldest first, expired and revoked ones too", func(f *fixture) {
		if got, err := f.s.APIKeys(f.Context()); err != nil || len(got) != 0 {
			f.Errorf("%v, error %v", got, err)
		}
		var want []store.APIKey
		for i, age := range []int{3, 1, 4, 0, 2} {
			k := fullKey(string(rune('a' + i)))
			k.CreatedAt = at(time.Duration(age) * time.Millisecond)
			f.putKeys(k)
			want = append(want, k)
		}
		want = []store.APIKey{want[3], want[1], want[4], want[0], want[2]}
		got, err := f.s.APIKeys(f.Context())
		if err != nil {
			f.Fatal(err)
		}
		f.same("keys", want, got)
	}},
	{"is revoked once, and its other fields stay", func(f *fixture) {
		k := fullKey("a")
		k.RevokedAt = time.Time{}
		untouched := store.APIKey{Hash: hash("b"), Owner: owner, CreatedAt: t0}
		f.putKeys(k, untouched)
		elsewhere := f.open(f.T)
		k.RevokedAt = at(time.Second)
		for _, now := range []time.Time{k.RevokedAt, at(time.Hour)} {
			got, err := f.s.RevokeAPIKey(f.Context(), k.Hash, now)
			if err != nil {
				f.Fatal(err)
			}
			f.same("revoked", &k, got)
		}
		f.putKeys(fullKey("a")) // does not bring it back
		f.s = elsewhere
		f.wantKey(k)
		f.wantKey(untouched)
	}},
}
