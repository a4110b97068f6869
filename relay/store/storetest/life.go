package storetest

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"kubbi-mcp/relay/store"
)

// call is a call of a Store on an existing kubbi.
type call struct {
	name string
	do   func(ctx context.Context, s store.Store, k *store.Kubbi) error
}

func (f *fixture) calls() []call {
	fresh := f.kubbi()
	return []call{
		{"Create", func(ctx context.Context, s store.Store, _ *store.Kubbi) error {
			_, err := s.Create(ctx, fresh, bytesOf("x"), createKey("ctx"), store.Quota{}, t0)
			return err
		}},
		{"Inspect", func(ctx context.Context, s store.Store, k *store.Kubbi) error {
			_, err := s.Inspect(ctx, k.Token, t0)
			return err
		}},
		{"Claim", func(ctx context.Context, s store.Store, k *store.Kubbi) error {
			_, err := s.Claim(ctx, k.Token, nil, nil, t0)
			return err
		}},
		{"Release", func(ctx context.Context, s store.Store, k *store.Kubbi) error {
			return s.Release(ctx, k.Token, hash("a"), t0)
		}},
		{"Get", func(ctx context.Context, s store.Store, k *store.Kubbi) error {
			_, err := s.Get(ctx, owner, k.ID, t0)
			return err
		}},
		{"List", func(ctx context.Context, s store.Store, _ *store.Kubbi) error {
			_, err := s.List(ctx, owner, store.Page{Number: 1, Limit: 1}, t0)
			return err
		}},
		{"Delete", func(ctx context.Context, s store.Store, k *store.Kubbi) error {
			_, err := s.Delete(ctx, owner, k.ID, t0)
			return err
		}},
		{"States", func(ctx context.Context, s store.Store, k *store.Kubbi) error {
			_, _, err := s.States(ctx, []store.Number{k.Token.Number}, 0, t0)
			return err
		}},
		{"Sweep", func(ctx context.Context, s store.Store, _ *store.Kubbi) error {
			_, err := s.Sweep(ctx, at(ttl), retain, 1)
			return err
		}},
		{"MasterKeys", func(ctx context.Context, s store.Store, _ *store.Kubbi) error {
			_, err := s.MasterKeys(ctx)
			return err
		}},
		{"PutAPIKey", func(ctx context.Context, s store.Store, _ *store.Kubbi) error {
			return s.PutAPIKey(ctx, store.APIKey{Hash: hash("ctx"), Owner: owner})
		}},
		{"APIKey", func(ctx context.Context, s store.Store, _ *store.Kubbi) error {
			_, err := s.APIKey(ctx, hash("there"))
			return err
		}},
		{"APIKeys", func(ctx context.Context, s store.Store, _ *store.Kubbi) error {
			_, err := s.APIKeys(ctx)
			return err
		}},
		{"RevokeAPIKey", func(ctx context.Context, s store.Store, _ *store.Kubbi) error {
			_, err := s.RevokeAPIKey(ctx, hash("there"), t0)
			return err
		}},
		{"Notices", func(ctx context.Context, s store.Store, _ *store.Kubbi) error {
			_, err := s.Notices(ctx, at(ttl), lease, 1)
			return err
		}},
		{"NoticeLater", func(ctx context.Context, s store.Store, k *store.Kubbi) error {
			return s.NoticeLater(ctx, k.ID, t0)
		}},
		{"NoticeDone", func(ctx context.Context, s store.Store, k *store.Kubbi) error { return s.NoticeDone(ctx, k.ID) }},
		{"CountUses", func(ctx context.Context, s store.Store, _ *store.Kubbi) error {
			_, _, err := s.CountUses(ctx, hash("ctx"), time.Minute, 1, 1, t0)
			return err
		}},
		{"Stats", func(ctx context.Context, s store.Store, _ *store.Kubbi) error {
			_, err := s.Stats(ctx)
			return err
		}},
		{"Skew", func(ctx context.Context, s store.Store, _ *store.Kubbi) error {
			_, err := s.Skew(ctx)
			return err
		}},
		{"Ping", func(ctx context.Context, s store.Store, _ *store.Kubbi) error { return s.Ping(ctx) }},
	}
}

var contexts = []testCase{
	{"ended before: its error, and nothing changes", func(f *fixture) {
		k := f.put(f.kubbi())
		if err := f.s.PutAPIKey(f.Context(), store.APIKey{Hash: hash("there"), Owner: owner}); err != nil {
			f.Fatal(err)
		}
		timeout, cancel := context.WithTimeout(f.Context(), -time.Second)
		defer cancel()
		calls := f.calls()
		for _, c := range calls {
			if err := c.do(f.cancelled(), f.s, k); !errors.Is(err, context.Canceled) {
				f.Errorf("%s: %v, want context.Canceled", c.name, err)
			}
			if err := c.do(timeout, f.s, k); !errors.Is(err, context.DeadlineExceeded) {
				f.Errorf("%s: %v, want context.DeadlineExceeded", c.name, err)
			}
		}
		f.same("the kubbi", k, f.get(k, t0))
		if l := f.list(owner, store.Page{Number: 1, Limit: 10}, t0); l.Total != 1 {
			f.Errorf("%d kubbis", l.Total)
		}
		if _, err := f.s.APIKey(f.Context(), hash("ctx")); !errors.Is(err, store.ErrNotFound) {
			f.Errorf("api key: %v", err)
		}
		f.wantKey(store.APIKey{Hash: hash("there"), Owner: owner}) // not revoked
		f.countUses(hash("ctx"), time.Minute, 0, 1, t0, 0, 0)
		for _, c := range calls { // with a context that has not ended every call works
			if err := c.do(f.Context(), f.s, f.put(f.kubbi())); err != nil {
				f.Errorf("%s: %v", c.name, err)
			}
		}
	}},
	{"ends during a create: whole or not at all", func(f *fixture) {
		for _, size := range []int{10, store.MaxInRow, 3 << 20} {
			ctx, cancel := context.WithCancel(f.Context())
			k := f.kubbi()
			whole := large(size)
			_, err := f.s.Create(ctx, k, io.MultiReader(bytesOf(whole[:size/2]), readerFunc(func([]byte) (int, error) {
				cancel()
				return 0, io.EOF
			}), bytesOf(whole[size/2:])), nil, store.Quota{}, t0)
			cancel()
			c, cerr := f.s.Claim(f.Context(), k.Token, nil, nil, t0)
			switch {
			case err == nil && cerr != nil:
				f.Errorf("create succeeded, but claim says %v", cerr)
			case err != nil && !errors.Is(err, context.Canceled):
				f.Errorf("create: %v", err)
			case cerr == nil:
				if got := f.payload(c); got != whole {
					f.Errorf("%d bytes are stored of %d", len(got), size)
				}
			case !errors.Is(cerr, store.ErrNotFound):
				f.Errorf("claim: %v", cerr)
			}
		}
	}},
	{"ends during claims: counted or not, never more than succeed or were cut off", func(f *fixture) {
		const n, max = 64, 20
		k := f.put(f.kubbi(limit(max)))
		ctx, cancel := context.WithCancel(f.Context())
		defer cancel()
		var mu sync.Mutex
		var won, cut int
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				if i == n/4 {
					cancel()
				}
				_, err := f.s.Claim(ctx, k.Token, nil, nil, t0)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					won++
				case errors.Is(err, context.Canceled):
					cut++
				case !errors.Is(err, store.ErrBurned):
					f.Errorf("claim: %v", err)
				}
			})
		}
		wg.Wait()
		f.s.Ping(f.Context())
		// A call whose context has ended may still run: a claim after it sees its result.
		var last *store.Claimed
		for {
			c, err := f.s.Claim(f.Context(), k.Token, nil, nil, t0)
			if err != nil {
				break
			}
			last = c
			won++
		}
		got := f.get(k, t0).Retrievals
		if got < won || got > won+cut || got != max {
			f.Errorf("%d retrievals, %d won, %d cut off, last %v", got, won, cut, last)
		}
	}},
}

var lives = []testCase{
	{"what is acknowledged is seen by a Store opened before and one opened later", func(f *fixture) {
		before := f.open(f.T)
		k := f.put(f.kubbi(packaged, limit(2)))
		f.claim(k, claimKey("a"), t0)
		want := f.get(k, t0)
		for _, s := range []store.Store{before, f.open(f.T)} {
			got, err := s.Get(f.Context(), owner, k.ID, t0)
			if err != nil {
				f.Fatal(err)
			}
			f.same("get", want, got)
		}
	}},
	{"survives Close and open", func(f *fixture) {
		k := f.put(f.kubbi(packaged, limit(3)))
		made := f.kubbi()
		key := createKey("a")
		f.create(made, bytesOf("x"), key)
		first, _ := f.claim(k, claimKey("a"), t0)
		anchor := f.list(owner, store.Page{Number: 1, Limit: 10}, t0).Anchor
		for range 3 {
			if err := f.s.Close(); err != nil {
				f.Fatal(err)
			}
			f.s = f.open(f.T)
		}
		f.put(f.kubbi())
		again, got := f.claim(k, claimKey("a"), t0)
		f.same("replay", first.Kubbi, again.Kubbi)
		if got != sealed(k) {
			f.Errorf("payload is %q", got)
		}
		f.wantReplay(f.kubbi(), key, t0, &store.Replay{Kubbi: *made, Answer: key.Answer})
		if l := f.list(owner, store.Page{Number: 1, Limit: 10, Anchor: anchor}, t0); l.Total != 2 {
			f.Errorf("total %d with the old anchor", l.Total)
		}
		f.masterKeys("key-1")
	}},
	{"calls after Close fail, closing twice does not", func(f *fixture) {
		k := f.put(f.kubbi())
		calls := f.calls()
		if _, err := f.s.Stats(f.Context()); err != nil { // a store may keep the answer for a while
			f.Fatal(err)
		}
		for range 2 {
			if err := f.s.Close(); err != nil {
				f.Fatal(err)
			}
		}
		for _, c := range calls {
			if err := c.do(f.Context(), f.s, k); err == nil {
				f.Errorf("%s works on a closed store", c.name)
			}
		}
	}},
	{"Close waits for running calls", func(f *fixture) {
		started, goOn := make(chan struct{}), make(chan struct{})
		k := f.kubbi()
		created := make(chan error, 1)
		go func() {
			_, err := f.s.Create(f.Context(), k, io.MultiReader(readerFunc(func([]byte) (int, error) {
				close(started)
				<-goOn
				return 0, io.EOF
			}), bytesOf(sealed(k))), nil, store.Quota{}, t0)
			created <- err
		}()
		<-started
		closed := make(chan error, 1)
		go func() { closed <- f.s.Close() }()
		select {
		case <-closed:
			f.Fatal("closed under a running create")
		case <-time.After(50 * time.Millisecond):
		}
		close(goOn)
		if err := <-created; err != nil {
			f.Errorf("create: %v", err)
		}
		if err := <-closed; err != nil {
			f.Errorf("close: %v", err)
		}
		f.s = f.open(f.T)
		if _, got := f.claim(k, nil, t0); got != sealed(k) {
			f.Errorf("payload is %q", got)
		}
	}},
	{"Skew is small where the clocks are one", func(f *fixture) {
		if d, err := f.s.Skew(f.Context()); err != nil || d.Abs() > time.Second {
			f.Errorf("skew %v, error %v", d, err)
		}
	}},
	{"Ping", func(f *fixture) {
		if err := f.s.Ping(f.Context()); err != nil {
			f.Error(err)
		}
	}},
}
