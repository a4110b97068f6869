package postgres

import (
	"testing"

	"kubbi-mcp/relay/store"
)

// Setting reads a setting of a connection of the pool.
func (s *Store) Setting(t testing.TB, name string) (value string) {
	t.Helper()
	if err := s.pool.QueryRow(t.Context(), "SHOW "+name).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// CreateAgain is a Create, with an empty payload, whose first attempt may have been committed.
func (s *Store) CreateAgain(t testing.TB, k *store.Kubbi, now store.Millis) error {
	r, err := store.NewRow(k, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	c := &creation{s: s, row: r, now: now, inRow: []byte{}}
	return s.retry(t.Context(), retryFor, true, func(q *session) error { return c.storeAlone(t.Context(), q) })
}

// Count is how many rows a table has.
func (s *Store) Count(t testing.TB, table string) (n int) {
	t.Helper()
	if err := s.pool.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Set changes a setting of a connection of the pool.
func (s *Store) Set(t testing.TB, name, value string) {
	t.Helper()
	s.Exec(t, "SET "+name+" = "+value)
}

// Exec runs a statement on a connection of the pool.
func (s *Store) Exec(t testing.TB, statement string) {
	t.Helper()
	if _, err := s.pool.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}
