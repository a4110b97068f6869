//go:build unix

package postgres_test

import (
	"context"
	"crypto/rand"
	"io"
	"runtime"
	"testing"
	"time"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/postgres"
	"kubbi-mcp/relay/store/postgres/pgtest"
)

// Each benchmark stores 1 KB payloads for 16 callers, with all syncs.

func openBench(b *testing.B) *postgres.Store {
	b.Helper()
	s, err := postgres.Open(b.Context(), postgres.Config{URL: pgtest.New(b, "fsync = on").Database(b)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	b.SetParallelism(max(1, 16/runtime.GOMAXPROCS(0)))
	return s
}

func benchSealed() []byte {
	sealed := make([]byte, 1024+40)
	_, _ = rand.Read(sealed)
	return sealed
}

func benchCreate(ctx context.Context, s *postgres.Store, sealed []byte) (store.Token, error) {
	k := newKubbi("local", 1)
	key := &store.CreateKey{Key: randomHash(), Request: randomHash(), Answer: make([]byte, 80), Grace: time.Minute}
	_, err := s.Create(ctx, k, payloadOf(sealed), key, store.Quota{}, t0)
	return k.Token, err
}

func benchClaim(ctx context.Context, s *postgres.Store, token store.Token) (*store.ClaimKey, error) {
	key := &store.ClaimKey{Key: randomHash(), Grace: time.Minute}
	c, err := s.Claim(ctx, token, key, nil, t0)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, c.Payload); err != nil {
		return nil, err
	}
	return key, c.Payload.Close()
}

// each runs f by all callers, and reports operations per second.
func each(b *testing.B, f func() error) {
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := f(); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

func BenchmarkCreate(b *testing.B) {
	s, sealed := openBench(b), benchSealed()
	each(b, func() error {
		_, err := benchCreate(b.Context(), s, sealed)
		return err
	})
}

func BenchmarkClaim(b *testing.B) {
	s, sealed := openBench(b), benchSealed()
	tokens := make(chan store.Token, b.N)
	each(b, func() error {
		token, err := benchCreate(b.Context(), s, sealed)
		tokens <- token
		return err
	})
	each(b, func() error {
		_, err := benchClaim(b.Context(), s, <-tokens)
		return err
	})
}

func BenchmarkCreateClaimRelease(b *testing.B) {
	s, sealed := openBench(b), benchSealed()
	each(b, func() error {
		token, err := benchCreate(b.Context(), s, sealed)
		if err != nil {
			return err
		}
		key, err := benchClaim(b.Context(), s, token)
		if err != nil {
			return err
		}
		return s.Release(b.Context(), token, key.Key, t0)
	})
}

// BenchmarkPair is what a client without idempotency keys does.
func BenchmarkPair(b *testing.B) {
	s, sealed := openBench(b), benchSealed()
	each(b, func() error {
		k := newKubbi("local", 1)
		if _, err := s.Create(b.Context(), k, payloadOf(sealed), nil, store.Quota{}, t0); err != nil {
			return err
		}
		c, err := s.Claim(b.Context(), k.Token, nil, nil, t0)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, c.Payload); err != nil {
			return err
		}
		return c.Payload.Close()
	})
}
