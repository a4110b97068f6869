package storetest

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"kubbi-mcp/relay/store"
)

// race claims k n times at once, over several Stores, and counts the winners.
func (f *fixture) race(k *store.Kubbi, n int, key func(i int) *store.ClaimKey) int {
	f.Helper()
	stores := []store.Store{f.s, f.open(f.T), f.open(f.T)}
	var won atomic.Int32
	var numbers sync.Map
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			c, err := stores[i%len(stores)].Claim(f.Context(), k.Token, key(i), nil, t0)
			switch {
			case errors.Is(err, store.ErrBurned):
			case err != nil:
				f.Errorf("claim: %v", err)
			default:
				if !c.Replay {
					won.Add(1)
					if _, twice := numbers.LoadOrStore(c.Number, i); twice {
						f.Errorf("two claims have number %d", c.Number)
					}
				}
				if got, err := io.ReadAll(c.Payload); err != nil || string(got) != sealed(k) {
					f.Errorf("payload is %q, error %v", got, err)
				}
				_ = c.Payload.Close()
			}
		})
	}
	close(start)
	wg.Wait()
	return int(won.Load())
}

func keyless(int) *store.ClaimKey { return nil }

func ownKey(i int) *store.ClaimKey { return &store.ClaimKey{Key: hash("racer", i), Grace: grace} }

var races = []testCase{
	{"64 claims, one winner", func(f *fixture) {
		for range 5 {
			for _, key := range []func(int) *store.ClaimKey{keyless, ownKey} {
				k := f.put(f.kubbi(limit(1)))
				if won := f.race(k, 64, key); won != 1 {
					f.Errorf("%d winners", won)
				}
				if got := f.get(k, t0); got.Retrievals != 1 || got.Status != store.Burned {
					f.Errorf("%d retrievals, status %d", got.Retrievals, got.Status)
				}
			}
		}
	}},
	{"max_retrievals winners of more racers", func(f *fixture) {
		for _, key := range []func(int) *store.ClaimKey{keyless, ownKey} {
			k := f.put(f.kubbi(limit(7)))
			if won := f.race(k, 50, key); won != 7 {
				f.Errorf("%d winners", won)
			}
			f.claimFails(k, nil, t0, store.ErrBurned)
		}
	}},
	{"one key claims once", func(f *fixture) {
		k := f.put(f.kubbi(limit(3)))
		if won := f.race(k, 40, func(int) *store.ClaimKey { return claimKey("same") }); won != 1 {
			f.Errorf("counted %d times", won)
		}
		if n := f.get(k, t0).Retrievals; n != 1 {
			f.Errorf("%d retrievals", n)
		}
	}},
	{"one create key creates once", func(f *fixture) {
		stores := []store.Store{f.s, f.open(f.T)}
		key := createKey("same")
		var made, replayed atomic.Int32
		var wg sync.WaitGroup
		kubbis := make([]*store.Kubbi, 32)
		for i := range kubbis {
			kubbis[i] = f.kubbi()
		}
		for i, k := range kubbis {
			wg.Go(func() {
				replay, err := stores[i%2].Create(f.Context(), k, bytesOf(sealed(k)), key, store.Quota{}, t0)
				switch {
				case err != nil:
					f.Errorf("create: %v", err)
				case replay == nil:
					made.Add(1)
				default:
					replayed.Add(1)
				}
			})
		}
		wg.Wait()
		if made.Load() != 1 || replayed.Load() != 31 {
			f.Errorf("%d made, %d replayed", made.Load(), replayed.Load())
		}
		if l := f.list(owner, store.Page{Number: 1, Limit: 1}, t0); l.Total != 1 {
			f.Errorf("%d kubbis", l.Total)
		}
	}},
	{"one id or token is created once", func(f *fixture) {
		stores := []store.Store{f.s, f.open(f.T)}
		first := f.kubbi()
		var made atomic.Int32
		var wg sync.WaitGroup
		for i := range 32 {
			k := f.kubbi()
			if i%2 == 0 {
				k.ID = first.ID
			}
			k.Token = first.Token
			wg.Go(func() {
				_, err := stores[i%2].Create(f.Context(), k, bytesOf("x"), nil, store.Quota{}, t0)
				if err == nil {
					made.Add(1)
				} else if !errors.Is(err, store.ErrExists) {
					f.Errorf("create: %v", err)
				}
			})
		}
		wg.Wait()
		if made.Load() != 1 {
			f.Errorf("%d made", made.Load())
		}
	}},
	{"claim against delete", func(f *fixture) {
		for range 20 {
			k := f.put(f.kubbi(limit(1)))
			var claimed, deleted error
			var wg sync.WaitGroup
			wg.Go(func() { _, claimed = f.s.Claim(f.Context(), k.Token, nil, nil, t0) })
			wg.Go(func() { _, deleted = f.s.Delete(f.Context(), owner, k.ID, t0) })
			wg.Wait()
			switch {
			case claimed == nil && errors.Is(deleted, store.ErrBurned):
			case deleted == nil && errors.Is(claimed, store.ErrDeleted):
			default:
				f.Errorf("claim: %v, delete: %v", claimed, deleted)
			}
		}
	}},
	{"everything at once", func(f *fixture) {
		stores := []store.Store{f.s, f.open(f.T)}
		const n = 40
		kubbis := make([]*store.Kubbi, n)
		for i := range kubbis {
			kubbis[i] = f.kubbi(limit(1 + i%3))
		}
		var won atomic.Int32
		var wg sync.WaitGroup
		for i, k := range kubbis {
			wg.Go(func() {
				s := stores[i%2]
				if _, err := s.Create(f.Context(), k, bytesOf(sealed(k)), nil, store.Quota{}, t0); err != nil {
					f.Errorf("create: %v", err)
					return
				}
				for j := range 5 {
					key := ownKey(j)
					if _, err := stores[j%2].Claim(f.Context(), k.Token, key, nil, at(time.Second)); err == nil {
						won.Add(1)
					} else if !errors.Is(err, store.ErrBurned) {
						f.Errorf("claim: %v", err)
					}
					if err := s.Release(f.Context(), k.Token, key.Key, at(time.Second)); err != nil {
						f.Errorf("release: %v", err)
					}
					if _, err := s.List(f.Context(), owner, store.Page{Number: 1, Limit: 5}, t0); err != nil {
						f.Errorf("list: %v", err)
					}
					if _, err := s.Sweep(f.Context(), at(2*time.Second), retain, 10); err != nil {
						f.Errorf("sweep: %v", err)
					}
				}
			})
		}
		wg.Wait()
		want := 0
		for i := range n {
			want += 1 + i%3
		}
		if int(won.Load()) != want {
			f.Errorf("%d claims succeeded, want %d", won.Load(), want)
		}
		f.masterKeys()
	}},
}
