package sqlite

import (
	"context"
	"fmt"
	"time"

	"kubbi-mcp/relay/store"
)

// reader is a read-only connection and its statements.
type reader struct {
	c *conn

	begin, end               *stmt
	byNumber                 *stmt
	newest, total, newer     *stmt
	newestFirst, oldestFirst *stmt
	unswept                  *stmt
	bodyOf, slotOf           *stmt
	masterKeys, stats        *stmt
	nextDue                  *stmt
	apiKey, apiKeys          *stmt
}

// ofStatus selects kubbis of the status ?3, or any for -1. An active kubbi that has
// expired counts as such before a sweep has seen it.
const ofStatus = " AND (?3 = -1 OR CASE WHEN status = 0 AND expires_at <= ?4 THEN 1 ELSE status END = ?3)"

func (q *reader) prepare(c *conn) error {
	q.c = c
	const list = "SELECT " + columns + " FROM kubbi INDEXED BY kubbi_owner WHERE owner = ?1 AND number < ?2" + ofStatus + " ORDER BY number"
	return c.prepare([]named{
		{&q.begin, "BEGIN"},
		{&q.end, "COMMIT"},
		{&q.byNumber, selectRow},
		{&q.newest, "SELECT max(number) FROM kubbi INDEXED BY kubbi_owner WHERE owner = ?"},
		{&q.total, "SELECT n, active, expired, burned, deleted FROM total WHERE kind = 0 AND name = ?"},
		{&q.newer, "SELECT count(*) FROM kubbi INDEXED BY kubbi_owner WHERE owner = ?1 AND number >= ?2" + ofStatus},
		{&q.newestFirst, list + " DESC LIMIT ?5 OFFSET ?6"},
		{&q.oldestFirst, list + " LIMIT ?5 OFFSET ?6"},
		{&q.unswept, `SELECT count(*) FROM kubbi INDEXED BY kubbi_due
			WHERE due BETWEEN 0 AND ?2 AND owner = ?1 AND status = 0 AND expires_at <= ?2`},
		{&q.bodyOf, "SELECT body FROM kubbi WHERE number = ?"},
		{&q.slotOf, "SELECT slot FROM kubbi WHERE number = ?"},
		{&q.masterKeys, "SELECT name FROM total WHERE kind = 1 AND n > 0"},
		{&q.nextDue, "SELECT due FROM kubbi INDEXED BY kubbi_due WHERE due > 0 ORDER BY due LIMIT 1"},
		{&q.stats, "SELECT active, expired, burned, deleted, bytes, notices FROM total WHERE kind = 2 AND name = ''"},
		{&q.apiKey, "SELECT hash, " + keyColumns + " FROM api_key WHERE hash = ?"},
		{&q.apiKeys, "SELECT hash, " + keyColumns + " FROM api_key ORDER BY created_at, hash"},
	})
}

// read is a call that runs do on a reader of its own.
func (s *Store) read(ctx context.Context, do func(*reader) error) error {
	if err := s.calls.Enter(ctx); err != nil {
		return err
	}
	defer s.calls.Leave()
	return s.withReader(ctx, do)
}

func (s *Store) withReader(ctx context.Context, do func(*reader) error) error {
	var q *reader
	select {
	case q = <-s.readers:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { s.readers <- q }()
	if q == nil {
		var err error
		if q, err = s.openReader(); err != nil {
			return err
		}
	}
	return explain(s.path, do(q))
}

func (s *Store) openReader() (*reader, error) {
	c, err := openConn(s.path, false)
	if err != nil {
		return nil, err
	}
	q := &reader{}
	err = c.exec("PRAGMA query_only=ON", "PRAGMA temp_store=MEMORY", "PRAGMA cache_size=-2000", "PRAGMA wal_autocheckpoint=0")
	if err == nil {
		err = q.prepare(c)
	}
	if err != nil {
		c.close()
		return nil, explain(s.path, err)
	}
	return q, nil
}

// readings is how often a row is read whose secret is not found: another call may
// have wiped it in between.
const readings = 8

// look reads a row by find, with its secret while it is active.
func (s *Store) look(q *reader, now store.Millis, find func(*row) error) (*row, error) {
	for range readings {
		var r row
		if err := find(&r); err != nil {
			return nil, err
		}
		if there, err := s.unlock(&r, now); err != nil || there {
			return &r, err
		}
	}
	return nil, fmt.Errorf("%s: %w: the secret of a kubbi is missing", s.path, store.ErrDamaged)
}

// unlock reads the secret of a row that is active now. It reports false if the slot
// does not hold it.
func (s *Store) unlock(r *row, now store.Millis) (there bool, err error) {
	r.Expire(now)
	if r.Status != store.Active {
		return true, nil
	}
	r.Secret, there, err = s.slots.Read(r.slot, int64(r.Number))
	return there, err
}

// Inspect looks at an active kubbi: see store.Store.
func (s *Store) Inspect(ctx context.Context, token store.Token, now time.Time) (*store.Kubbi, error) {
	return s.one(ctx, now, func(q *reader, r *row) error {
		if err := r.byToken(q.byNumber, token); err != nil {
			return err
		}
		r.Expire(store.MillisOf(now))
		return r.Status.Err()
	})
}

// Get gives an owner's kubbi: see store.Store.
func (s *Store) Get(ctx context.Context, owner, id string, now time.Time) (*store.Kubbi, error) {
	return s.one(ctx, now, func(q *reader, r *row) error { return r.byID(q.byNumber, owner, id) })
}

func (s *Store) one(ctx context.Context, now time.Time, find func(*reader, *row) error) (*store.Kubbi, error) {
	var k store.Kubbi
	err := s.read(ctx, func(q *reader) error {
		r, err := s.look(q, store.MillisOf(now), func(r *row) error { return find(q, r) })
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

// MasterKeys names the master keys in use: see store.Store.
func (s *Store) MasterKeys(ctx context.Context) (ids []string, err error) {
	err = s.read(ctx, func(q *reader) error {
		return q.masterKeys.each(func() { ids = append(ids, q.masterKeys.text(0)) })
	})
	return ids, err
}

// Due says when a sweep has work: see store.Store.
func (s *Store) Due(ctx context.Context) (time.Time, error) {
	due := store.Never
	err := s.read(ctx, func(q *reader) error {
		return q.nextDue.each(func() { due = store.Millis(q.nextDue.int(0)) })
	})
	return due.Time(), err
}

// Ping reads the store: see store.Store.
func (s *Store) Ping(ctx context.Context) error {
	return s.read(ctx, func(q *reader) error { return q.stats.run() })
}
