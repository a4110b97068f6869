package store_test

import (
	"crypto/rand"
	"testing"
	"time"

	"kubbi-mcp/relay/store"
)

func TestNumber(t *testing.T) {
	now := time.Date(2026, 11, 29, 4, 0, 0, 123_456_789, time.UTC)
	var numbers store.Numbers
	var last store.Number
	for i := range 1000 {
		n, err := numbers.Next(now, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if n <= last {
			t.Fatalf("number %d of the same time is not above the one before", i)
		}
		last = n
		id, err := n.ID(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		u, got, err := store.ParseID(id)
		if err != nil || got != n || u.Version() != 7 || u.String() != id {
			t.Fatalf("id %s of number %x carries %x, version %d, error %v", id, n, got, u.Version(), err)
		}
		if n.Time() != now.Truncate(time.Millisecond) {
			t.Fatalf("number %x is of %v, want %v", n, n.Time(), now)
		}
	}
	if store.NumberAt(now) >= store.NumberAt(now.Add(time.Microsecond)) {
		t.Error("a microsecond later has no higher number")
	}
	for _, id := range []string{"", "0", "019acdb3-0000-4000-8000-000000000000", "019ACDB3-0000-7000-8000-000000000000",
		"ffffffff-0000-7000-8000-000000000000", "019acdb3-0000-7000-c000-000000000000"} {
		if _, _, err := store.ParseID(id); err == nil {
			t.Errorf("%q is taken for an id", id)
		}
	}
}
