//go:build unix

package postgres_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"kubbi-mcp/relay/store"
)

// TestOneIsLocked locks the row of one kubbi: claims of others at the same time wait only
// a short time, and the kubbi is claimed in the end.
func TestOneIsLocked(t *testing.T) {
	url := cluster.Schema(t)
	s := openStore(t, url)
	kubbis := make([]*store.Kubbi, 64)
	for i := range kubbis {
		kubbis[i] = newKubbi("team", 1)
		if _, err := s.Create(t.Context(), kubbis[i], payloadOf([]byte("x")), nil, store.Quota{}, t0); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT 1 FROM kubbis WHERE number = $1 FOR UPDATE", int64(kubbis[0].Token.Number)); err != nil {
		t.Fatal(err)
	}
	var others, all sync.WaitGroup
	var locked atomic.Bool
	locked.Store(true)
	for i, k := range kubbis {
		claim := func() {
			c, err := s.Claim(t.Context(), k.Token, nil, nil, t0)
			if err != nil || c.Number != 1 {
				t.Errorf("claim %d: %v", i, err)
			}
			if i == 0 && locked.Load() {
				t.Error("claimed under a lock")
			}
		}
		if i == 0 {
			all.Go(claim)
		} else {
			others.Go(claim)
		}
	}
	start := time.Now()
	others.Wait()
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("the others took %v", took)
	}
	locked.Store(false)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	all.Wait()
}

// TestOneIsThere has creates at once, some of which repeat others: these get the right
// answer, and the others are stored once.
func TestOneIsThere(t *testing.T) {
	url := cluster.Schema(t)
	s := openStore(t, url)
	const n, times = 20, 4
	key := func() *store.CreateKey {
		return &store.CreateKey{Key: randomHash(), Request: randomHash(), Grace: time.Minute}
	}
	var made, there, replayed atomic.Int32
	var wg sync.WaitGroup
	for i := range n {
		k, ck := newKubbi("team", 1), key()
		for range times {
			wg.Go(func() {
				own, with := *newKubbi("team", 1), ck // another kubbi under the same key
				if i%2 == 0 {
					own, with = *k, nil // the same kubbi
				}
				replay, err := s.Create(t.Context(), &own, payloadOf([]byte("x")), with, store.Quota{}, t0)
				switch {
				case errors.Is(err, store.ErrExists):
					there.Add(1)
				case err != nil:
					t.Errorf("create: %v", err)
				case replay != nil:
					replayed.Add(1)
				default:
					made.Add(1)
				}
			})
		}
	}
	wg.Wait()
	if made.Load() != n || there.Load() != n/2*(times-1) || replayed.Load() != n/2*(times-1) || s.Count(t, "kubbis") != n {
		t.Errorf("%d made, %d there before, %d replayed, %d stored", made.Load(), there.Load(), replayed.Load(), s.Count(t, "kubbis"))
	}
}

// TestCallerLeaves ends the contexts of callers while they wait for a group.
func TestCallerLeaves(t *testing.T) {
	s := openStore(t, cluster.Schema(t))
	load := startLoad(t, 1000, s)
	for i := range 50 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*100*time.Microsecond)
		k := newKubbi("team", 1)
		_, err := s.Create(ctx, k, payloadOf([]byte("x")), nil, store.Quota{}, t0)
		cancel()
		_, gerr := s.Get(t.Context(), "team", k.ID, t0)
		if err == nil && gerr != nil || gerr != nil && !errors.Is(gerr, store.ErrNotFound) {
			t.Errorf("create said %v, get %v", err, gerr)
		}
	}
	load.finish(t)
}
