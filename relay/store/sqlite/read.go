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

	begin, end           *stmt
	byNumber             *stmt
	newest, total, newer *stmt
	after, oldest        *stmt
	unswept, newerOf     *stmt
	afterOf, oldestOf    *stmt
	bodyOf, slotOf       *stmt
	masterKeys, stats    *stmt
	nextDue              *stmt
	apiKey, apiKeys      *stmt
}

// ofStatus narrows an owner's kubbis to one status. An active one that has expired
// counts as such before a sweep has seen it.
const ofStatus = " AND CASE WHEN status = 0 AND expires_at <= ?5 THEN 1 ELSE status END = ?6"

func (q *reader) prepare(c *conn) error {
	q.c = c
	const of = "SELECT number FROM kubbi INDEXED BY kubbi_owner WHERE owner = ?1 AND number < ?2"
	const newer = "SELECT count(*) FROM kubbi INDEXED BY kubbi_owner WHERE owner = ?1 AND number >= ?2"
	const down, up = " ORDER BY number DESC LIMIT ?3 OFFSET ?4", " ORDER BY number LIMIT ?3 OFFSET ?4"
	return c.prepare([]named{
		{&q.begin, "BEGIN"},
		{&q.end, "COMMIT"},
		{&q.byNumber, selectRow},
		{&q.newest, "SELECT max(number) FROM kubbi INDEXED BY kubbi_owner WHERE owner = ?"},
		{&q.total, "SELECT n, active, expired, burned, deleted FROM total WHERE kind = 0 AND name = ?"},
		{&q.newer, newer},
		{&q.newerOf, newer + ofStatus},
		{&q.after, of + down},
		{&q.afterOf, of + ofStatus + down},
		{&q.oldest, of + up},
		{&q.oldestOf, of + ofStatus + up},
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

// read runs do on a reader of its own.
func (s *Store) read(ctx context.Context, do func(*reader) error) error {
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

// readings is how often a row is read again whose secret was not found: another
// call may have wiped it in between.
const readings = 8

// look reads a row by do, settled, with its secret while it is active.
func (s *Store) look(ctx context.Context, now time.Time, do func(*reader, *row) error) (*row, error) {
	for range readings {
		var r row
		if err := s.read(ctx, func(q *reader) error { return do(q, &r) }); err != nil {
			return nil, err
		}
		r.Settle(store.MillisOf(now))
		if r.Status != store.Active {
			return &r, nil
		}
		secret, there, err := s.slots.Read(r.slot, int64(r.number))
		if err != nil {
			return nil, s.explainFile(err)
		}
		if there {
			r.secret = secret
			return &r, nil
		}
	}
	return nil, fmt.Errorf("%s: %w: the secret of a kubbi is missing", s.path, store.ErrDamaged)
}

// Inspect looks at an active kubbi: see store.Store.
func (s *Store) Inspect(ctx context.Context, token store.Token, now time.Time) (*store.Kubbi, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	r, err := s.look(ctx, now, func(q *reader, r *row) error { return r.byToken(q.byNumber, token) })
	if err != nil {
		return nil, err
	}
	if err := r.Status.Err(); err != nil {
		return nil, err
	}
	k := r.kubbi()
	return &k, nil
}

// Get gives an owner's kubbi: see store.Store.
func (s *Store) Get(ctx context.Context, owner, id string, now time.Time) (*store.Kubbi, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	r, err := s.look(ctx, now, func(q *reader, r *row) error { return r.byID(q.byNumber, owner, id) })
	if err != nil {
		return nil, err
	}
	k := r.kubbi()
	return &k, nil
}

// MasterKeys names the master keys in use: see store.Store.
func (s *Store) MasterKeys(ctx context.Context) ([]string, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	var ids []string
	err := s.read(ctx, func(q *reader) error {
		ids = nil
		return q.masterKeys.each(func() { ids = append(ids, q.masterKeys.text(0)) })
	})
	return ids, err
}

// Due says when a sweep has work: see store.Store.
func (s *Store) Due(ctx context.Context) (time.Time, error) {
	if err := s.enter(ctx); err != nil {
		return time.Time{}, err
	}
	defer s.leave()
	due := store.Never
	err := s.read(ctx, func(q *reader) error {
		due = store.Never
		return q.nextDue.each(func() { due = store.Millis(q.nextDue.int(0)) })
	})
	return due.Time(), err
}

// Ping reads the store: see store.Store.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	return s.read(ctx, func(q *reader) error { return q.stats.run() })
}
