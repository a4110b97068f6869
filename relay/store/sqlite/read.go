package sqlite

import (
	"context"
	"fmt"
	"time"

	"kubbi-mcp/relay/store"
)

// read makes a whole call of the Store with do, on a read-only connection.
func (s *Store) read(ctx context.Context, do func(*conn) error) error {
	if err := s.calls.Enter(ctx); err != nil {
		return err
	}
	defer s.calls.Leave()
	return s.withReader(ctx, do)
}

func (s *Store) withReader(ctx context.Context, do func(*conn) error) error {
	var c *conn
	select {
	case c = <-s.readers:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { s.readers <- c }()
	if c == nil {
		fresh, err := s.openReader()
		if err != nil {
			return err
		}
		c = fresh
	}
	return explain(s.path, do(c))
}

// openReader opens a read-only connection.
func (s *Store) openReader() (*conn, error) {
	c, err := openConn(s.path, false)
	if err != nil {
		return nil, err
	}
	if err := c.execAll("PRAGMA query_only=ON", "PRAGMA temp_store=MEMORY", "PRAGMA cache_size=-2000", "PRAGMA wal_autocheckpoint=0"); err != nil {
		c.close()
		return nil, explain(s.path, err)
	}
	return c, nil
}

// readings is how often a row is read again if its secret is not found: another call may have
// wiped the kubbi in between.
const readings = 8

// look reads a row with find, and its secret if the row is active.
func (s *Store) look(now store.Millis, find func(*row) error) (*row, error) {
	for range readings {
		var r row
		if err := find(&r); err != nil {
			return nil, err
		}
		if there, err := s.loadSecret(&r, now); err != nil || there {
			return &r, err
		}
	}
	return nil, fmt.Errorf("%s: %w: the secret of a kubbi is missing", s.path, store.ErrDamaged)
}

// loadSecret reads the secret of a row if the row is active. there is false if the slot does
// not have it.
func (s *Store) loadSecret(r *row, now store.Millis) (there bool, err error) {
	r.Expire(now)
	if r.Status != store.Active {
		return true, nil
	}
	r.Secret, there, err = s.slots.Read(r.slot, int64(r.Number))
	return there, err
}

// Inspect looks at an active kubbi: see store.Store.
func (s *Store) Inspect(ctx context.Context, token store.Token, now time.Time) (*store.Kubbi, error) {
	return s.one(ctx, now, func(c *conn, r *row) error {
		if err := r.byToken(c, token); err != nil {
			return err
		}
		r.Expire(store.MillisOf(now))
		return r.Status.Err()
	})
}

// Get gives an owner's kubbi: see store.Store.
func (s *Store) Get(ctx context.Context, owner, id string, now time.Time) (*store.Kubbi, error) {
	return s.one(ctx, now, func(c *conn, r *row) error { return r.byID(c, owner, id) })
}

func (s *Store) one(ctx context.Context, now time.Time, find func(*conn, *row) error) (*store.Kubbi, error) {
	var k store.Kubbi
	err := s.read(ctx, func(c *conn) error {
		r, err := s.look(store.MillisOf(now), func(r *row) error { return find(c, r) })
		if err == nil {
			k = r.Kubbi()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &k, nil
}

// MasterKeys returns the ids of the master keys in use: see store.Store.
func (s *Store) MasterKeys(ctx context.Context) (ids []string, err error) {
	err = s.read(ctx, func(c *conn) error {
		return c.rows("SELECT name FROM total WHERE kind = 1 AND n > 0", func(s *stmt) { ids = append(ids, s.text(0)) })
	})
	return ids, err
}

// Due returns when a sweep has work next: see store.Store.
func (s *Store) Due(ctx context.Context) (time.Time, error) {
	due := store.Never
	err := s.read(ctx, func(c *conn) error {
		return c.rows("SELECT due FROM kubbi INDEXED BY kubbi_due WHERE due > 0 ORDER BY due LIMIT 1",
			func(s *stmt) { due = store.Millis(s.int(0)) })
	})
	return due.Time(), err
}

// Ping reads the store: see store.Store.
func (s *Store) Ping(ctx context.Context) error {
	return s.read(ctx, func(c *conn) error { return c.exec("SELECT 1 FROM total WHERE kind = 2") })
}
