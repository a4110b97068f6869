package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/postgres"
	"kubbi-mcp/relay/store/sqlite"
)

// shelf is a kind of store that is measured.
type shelf struct {
	name string
	// empty makes an empty store and gives what --store takes.
	empty func() (string, error)
}

// sqlite is the kind that is always there.
func (s *suite) sqlite() shelf {
	return shelf{"SQLite", func() (string, error) {
		dir, err := s.temp("sqlite")
		return filepath.Join(dir, "store.db"), err
	}}
}

// shelves are the kinds of stores at hand, and what ends them.
func (s *suite) shelves() ([]shelf, func() error) {
	all := []shelf{s.sqlite()}
	cluster, stop, err := startPostgres(s.ctx, s.dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "nothing about PostgreSQL:", err)
		return all, func() error { return nil }
	}
	n := 0
	return append(all, shelf{"PostgreSQL", func() (string, error) {
		n++
		return cluster(fmt.Sprint("bench", n))
	}}), stop
}

// openShelf opens what shelf.empty has made.
func openShelf(ctx context.Context, place string) (store.Store, error) {
	if strings.Contains(place, "://") {
		return postgres.Open(ctx, postgres.Config{URL: place})
	}
	return sqlite.Open(ctx, sqlite.Config{Path: place})
}
