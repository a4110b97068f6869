//go:build unix

package postgres_test

import (
	"errors"
	"testing"
	"time"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/postgres"
)

func TestClock(t *testing.T) {
	s, err := postgres.Open(t.Context(), postgres.Config{URL: cluster.Database(t), MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	there, err := s.Clock(t.Context())
	after := time.Now()
	if err != nil || there.Before(before.Add(-time.Second)) || there.After(after.Add(time.Second)) || there.Location() != time.UTC {
		t.Errorf("the data base's clock is at %v, %v; asked between %v and %v", there, err, before, after)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Clock(t.Context()); err == nil || errors.Is(err, store.ErrNotFound) {
		t.Errorf("after Close: %v", err)
	}
}
