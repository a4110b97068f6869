package sqlite_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/sqlite"
)

// Each benchmark stores 1 KB payloads for 16 callers, with all syncs.

func openBench(b *testing.B) *sqlite.Store {
	b.Helper()
	s, err := sqlite.Open(b.Context(), sqlite.Config{Path: filepath.Join(b.TempDir(), "kubbi.db")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	b.SetParallelism(max(1, 16/runtime.GOMAXPROCS(0)))
	return s
}

var t0 = time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)

func report(b *testing.B, before time.Duration) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

func randomHash() (h store.Hash) {
	rand.Read(h[:])
	return h
}

var numbers store.Numbers

// benchKubbi is a burn-after-read kubbi with the fields the relay sets.
func benchKubbi() *store.Kubbi {
	n, err := numbers.Next(time.Now(), rand.Reader)
	if err != nil {
		panic(err)
	}
	id, err := n.ID(rand.Reader)
	if err != nil {
		panic(err)
	}
	return &store.Kubbi{
		ID: id, Owner: "local", Token: store.Token{Number: n, Hash: randomHash()}, MasterKey: "0123456789abcdef", ContentType: "text/plain",
		Secret: store.Secret(randomHash()), Size: 1024, Record: make([]byte, 120), MaxRetrievals: 1, CreatedAt: t0, ExpiresAt: t0.Add(time.Hour),
	}
}

func benchCreate(ctx context.Context, s *sqlite.Store, sealed []byte) (store.Token, error) {
	k := benchKubbi()
	key := &store.CreateKey{Key: randomHash(), Request: randomHash(), Answer: make([]byte, 80), Grace: time.Minute}
	_, err := s.Create(ctx, k, bytes.NewReader(sealed), key, store.Quota{}, t0)
	return k.Token, err
}

func readAll(c *store.Claimed) error {
	_, err := io.Copy(io.Discard, c.Payload)
	return errors.Join(err, c.Payload.Close())
}

// parallel runs do b.N times, by several callers at once.
func parallel(b *testing.B, do func() error) {
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := do(); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// measure is parallel, and reports what it costs.
func measure(b *testing.B, do func() error) {
	b.ResetTimer()
	before := cpu(b)
	parallel(b, do)
	report(b, before)
}

// benchSealed makes a sealed payload of 1 KiB.
func benchSealed() []byte {
	sealed := make([]byte, 1024+40)
	rand.Read(sealed)
	return sealed
}

func BenchmarkCreate(b *testing.B) {
	s, sealed := openBench(b), benchSealed()
	measure(b, func() error {
		_, err := benchCreate(b.Context(), s, sealed)
		return err
	})
}

func BenchmarkClaim(b *testing.B) {
	s, sealed := openBench(b), benchSealed()
	tokens := make(chan store.Token, b.N)
	parallel(b, func() error {
		token, err := benchCreate(b.Context(), s, sealed)
		tokens <- token
		return err
	})
	measure(b, func() error {
		c, err := s.Claim(b.Context(), <-tokens, &store.ClaimKey{Key: randomHash(), Grace: time.Minute}, nil, t0)
		if err != nil {
			return err
		}
		return readAll(c)
	})
}

func BenchmarkCreateClaimRelease(b *testing.B) {
	s, sealed := openBench(b), benchSealed()
	measure(b, func() error {
		token, err := benchCreate(b.Context(), s, sealed)
		if err != nil {
			return err
		}
		key := randomHash()
		c, err := s.Claim(b.Context(), token, &store.ClaimKey{Key: key, Grace: time.Minute}, nil, t0)
		if err != nil {
			return err
		}
		if err := readAll(c); err != nil {
			return err
		}
		return s.Release(b.Context(), token, key, t0)
	})
}

// BenchmarkOpen opens and closes a store that is up to date.
func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "kubbi.db")
	openStore(b, path)
	for b.Loop() {
		s, err := sqlite.Open(b.Context(), sqlite.Config{Path: path})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMillion lists, gets and sweeps among a million kubbis, half of them
// tombstones.
func BenchmarkMillion(b *testing.B) {
	if testing.Short() {
		b.Skip("takes minutes")
	}
	s := openBench(b)
	const n = 1_000_000
	var wg sync.WaitGroup
	for g := range 64 {
		wg.Go(func() {
			for i := g; i < n; i += 64 {
				k := benchKubbi()
				k.CreatedAt = t0.Add(time.Duration(i) * time.Millisecond)
				k.ExpiresAt = k.CreatedAt.Add(24 * time.Hour)
				_, err := s.Create(b.Context(), k, strings.NewReader("x"), nil, store.Quota{}, t0)
				if err == nil && i%2 == 0 {
					_, err = s.Claim(b.Context(), k.Token, nil, nil, k.CreatedAt)
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	now := t0.Add(n * time.Millisecond)
	for _, page := range []int{1, 100, n / 20} {
		b.Run(fmt.Sprint("List/page=", page), func(b *testing.B) {
			for b.Loop() {
				l, err := s.List(b.Context(), "local", store.Page{Number: page, Limit: 20}, now)
				if err != nil || len(l.Kubbis) != 20 {
					b.Fatal(len(l.Kubbis), err)
				}
			}
		})
	}
	b.Run("Sweep/nothing", func(b *testing.B) {
		for b.Loop() {
			if got, err := s.Sweep(b.Context(), now, 24*time.Hour, 100); err != nil || got != (store.Swept{}) {
				b.Fatal(got, err)
			}
		}
	})
	b.Run("Sweep/remove 64", func(b *testing.B) {
		for b.Loop() {
			if got, err := s.Sweep(b.Context(), now, time.Millisecond, 64); err != nil || got.Removed != 64 {
				b.Fatal("all removed", got, err)
			}
		}
	})
	b.Run("Sweep/expire 64", func(b *testing.B) {
		for b.Loop() {
			if got, err := s.Sweep(b.Context(), now.Add(24*time.Hour), 1000*time.Hour, 64); err != nil || got.Expired != 64 {
				b.Fatal("all expired", got, err)
			}
		}
	})
	b.Run("MasterKeys", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.MasterKeys(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
