package sqlite

import (
	"context"
	"errors"
	"math"
	"time"

	"kubbi-mcp/relay/store"
)

const (
	selectByToken = "SELECT " + columns + " FROM kubbi INDEXED BY kubbi_token WHERE token_h = ?"
	selectByID    = "SELECT " + columns + " FROM kubbi INDEXED BY kubbi_id WHERE id_h = ?"
	selectByKey   = "SELECT " + columns + " FROM kubbi INDEXED BY kubbi_key WHERE key_h = ?"
	selectBySeq   = "SELECT " + columns + " FROM kubbi WHERE seq = ?"
	selectCounter = "SELECT n FROM total WHERE kind = 2 AND name = ''"
)

// filtered are an owner's kubbis of one status. An active one that has expired
// counts as such before a sweep has seen it.
const filtered = ` FROM kubbi INDEXED BY kubbi_list WHERE owner = ? AND seq < ? AND removed IS NULL
	AND CASE WHEN status = 0 AND expires_at <= ? THEN 1 ELSE status END = ?`

// reader is a read-only connection and its statements.
type reader struct {
	c *conn

	begin, end           *stmt
	byToken, byID, bySeq *stmt
	counter, total       *stmt
	newer, removed, page *stmt
	filteredTotal        *stmt
	filteredPage         *stmt
	masterKeys, stats    *stmt
	apiKey, apiKeys      *stmt
}

func (q *reader) prepare(c *conn) error {
	q.c = c
	for _, p := range []struct {
		to  **stmt
		sql string
	}{
		{&q.begin, "BEGIN"},
		{&q.end, "COMMIT"},
		{&q.byToken, selectByToken},
		{&q.byID, selectByID},
		{&q.bySeq, selectBySeq},
		{&q.counter, selectCounter},
		{&q.total, "SELECT n FROM total WHERE kind = 0 AND name = ?"},
		{&q.newer, "SELECT count(*) FROM kubbi NOT INDEXED WHERE seq >= ? AND owner = ? AND removed IS NULL"},
		{&q.removed, "SELECT count(*) FROM kubbi INDEXED BY kubbi_removed WHERE removed >= ? AND owner = ? AND seq < ?"},
		{&q.page, `SELECT seq FROM kubbi INDEXED BY kubbi_list WHERE owner = ? AND seq < ? AND (removed IS NULL OR removed >= ?)
			ORDER BY created_at DESC, seq DESC LIMIT ? OFFSET ?`},
		{&q.filteredTotal, "SELECT count(*)" + filtered},
		{&q.filteredPage, "SELECT seq" + filtered + " ORDER BY created_at DESC, seq DESC LIMIT ? OFFSET ?"},
		{&q.masterKeys, "SELECT name FROM total WHERE kind = 1 AND n > 0"},
		{&q.stats, "SELECT active, expired, burned, deleted, bytes, notices FROM total WHERE kind = 2 AND name = ''"},
		{&q.apiKey, "SELECT hash, " + keyColumns + " FROM api_key WHERE hash = ?"},
		{&q.apiKeys, "SELECT hash, " + keyColumns + " FROM api_key ORDER BY created_at, hash"},
	} {
		s, err := c.prepare(p.sql)
		if err != nil {
			return err
		}
		*p.to = s
	}
	return nil
}

// Inspect looks at an active kubbi: see store.Store.
func (s *Store) Inspect(ctx context.Context, token store.Hash, now time.Time) (*store.Kubbi, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	var r row
	err := s.read(ctx, func(q *reader) error { return r.byToken(q.byToken, token) })
	if err != nil {
		return nil, err
	}
	r.settle(ms(now))
	if err := r.status.Err(); err != nil {
		return nil, err
	}
	k, err := r.kubbi()
	return &k, err
}

// Get gives an owner's kubbi: see store.Store.
func (s *Store) Get(ctx context.Context, owner, id string, now time.Time) (*store.Kubbi, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	u, err := store.ParseID(id)
	if err != nil {
		return nil, store.ErrNotFound
	}
	var r row
	if err := s.read(ctx, func(q *reader) error { return r.byID(q.byID, u) }); err != nil {
		return nil, err
	}
	if r.owner != owner {
		return nil, store.ErrNotFound
	}
	r.settle(ms(now))
	k, err := r.kubbi()
	return &k, err
}

// List gives a page of an owner's kubbis: see store.Store. A kubbi that was
// removed since the anchor keeps its place on its page, which is then shorter.
func (s *Store) List(ctx context.Context, owner string, p store.Page, now time.Time) (*store.Listed, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	listed := &store.Listed{Anchor: p.Anchor}
	err := s.read(ctx, func(q *reader) (err error) {
		if err := q.begin.run(); err != nil {
			return err
		}
		defer func() {
			if e := q.end.run(); err == nil {
				err = e
			}
		}()
		return q.list(owner, p, ms(now), listed)
	})
	if err != nil {
		return nil, err
	}
	return listed, nil
}

func (q *reader) list(owner string, p store.Page, now int64, listed *store.Listed) error {
	next, err := q.counter.one(func() error { return nil })
	if err != nil {
		return err
	}
	if p.Status != nil {
		if listed.Anchor == 0 {
			listed.Anchor = next
		}
		return q.listFiltered(owner, p, now, listed)
	}
	total, err := q.total.one(func() error { return q.total.bindOwner(1, owner) })
	if err != nil {
		return err
	}
	switch {
	case listed.Anchor == 0:
		listed.Anchor = next
	case listed.Anchor < next:
		newer, err := q.newer.one(func() error {
			err := q.newer.bindOwner(2, owner)
			q.newer.bindInt(1, listed.Anchor)
			return err
		})
		if err != nil {
			return err
		}
		removed, err := q.removed.one(func() error {
			err := q.removed.bindOwner(2, owner)
			q.removed.bindInt(1, listed.Anchor)
			q.removed.bindInt(3, listed.Anchor)
			return err
		})
		if err != nil {
			return err
		}
		total += removed - newer
	}
	listed.Total = int(total)
	limit, offset := part(p, total)
	if limit == 0 {
		return nil
	}
	s := q.page
	if err := s.bindOwner(1, owner); err != nil {
		return err
	}
	s.bindInt(2, listed.Anchor)
	s.bindInt(3, listed.Anchor)
	s.bindInt(4, limit)
	s.bindInt(5, offset)
	return q.rows(s, limit, now, listed)
}

// listFiltered is list for one status.
func (q *reader) listFiltered(owner string, p store.Page, now int64, listed *store.Listed) error {
	bind := func(s *stmt) error {
		if err := s.bindOwner(1, owner); err != nil {
			return err
		}
		s.bindInt(2, listed.Anchor)
		s.bindInt(3, now)
		s.bindInt(4, int64(*p.Status))
		return nil
	}
	total, err := q.filteredTotal.one(func() error { return bind(q.filteredTotal) })
	if err != nil {
		return err
	}
	listed.Total = int(total)
	limit, offset := part(p, total)
	if limit == 0 {
		return nil
	}
	s := q.filteredPage
	if err := bind(s); err != nil {
		return err
	}
	s.bindInt(5, limit)
	s.bindInt(6, offset)
	return q.rows(s, limit, now, listed)
}

// part says which part of a list of total kubbis a page is: none where limit is 0.
func part(p store.Page, total int64) (limit, offset int64) {
	if p.Number < 1 || p.Limit < 1 || int64(p.Number-1) > math.MaxInt64/int64(p.Limit) {
		return 0, 0
	}
	offset = int64(p.Number-1) * int64(p.Limit)
	return max(0, min(int64(p.Limit), total-offset)), offset
}

// rows reads the kubbis whose numbers s gives, at most limit.
func (q *reader) rows(s *stmt, limit, now int64, listed *store.Listed) error {
	seqs := make([]int64, 0, min(limit, 1024))
	if err := s.each(func() { seqs = append(seqs, s.int(0)) }); err != nil {
		return err
	}
	listed.Kubbis = make([]store.Kubbi, 0, len(seqs))
	for _, seq := range seqs {
		var r row
		err := r.find(q.bySeq, seq, func(*row) bool { return true })
		if errors.Is(err, store.ErrNotFound) {
			continue // removed
		}
		if err != nil {
			return err
		}
		r.settle(now)
		k, err := r.kubbi()
		if err != nil {
			return err
		}
		listed.Kubbis = append(listed.Kubbis, k)
	}
	return nil
}

// bindOwner starts the arguments with the only text among them.
func (s *stmt) bindOwner(i int, owner string) error {
	if err := s.args(len(owner) + 1); err != nil {
		return err
	}
	s.bindText(i, owner)
	return nil
}

// one is the integer of a statement that gives at most one, 0 for none.
func (s *stmt) one(bind func() error) (int64, error) {
	if err := bind(); err != nil {
		return 0, err
	}
	ok, err := s.step()
	if err != nil || !ok {
		return 0, err
	}
	defer s.reset()
	return s.int(0), nil
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

// Ping reads the store: see store.Store.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	return s.read(ctx, func(q *reader) error {
		_, err := q.counter.one(func() error { return nil })
		return err
	})
}
