package sqlite

import (
	"context"
	"time"

	"kubbi-mcp/relay/store"
)

// keyColumns are an API key's beside its hash, in the order of scanKey.
const keyColumns = "owner, label, created_at, expires_at, revoked_at, max_ttl, max_bytes, rate, daily, active"

// scanKey reads the row a statement over hash and keyColumns stands on.
func scanKey(s *stmt) store.APIKey {
	k := store.APIKey{
		Owner:     s.text(1),
		Label:     s.text(2),
		CreatedAt: s.time(3).Time(),
		ExpiresAt: s.time(4).Time(),
		RevokedAt: s.time(5).Time(),
		MaxTTL:    time.Duration(s.int(6)) * time.Millisecond,
		MaxBytes:  s.int(7),
		Rate:      int(s.int(8)),
		Quota:     store.Quota{Daily: int(s.int(9)), Active: int(s.int(10))},
	}
	s.into(0, k.Hash[:])
	return k
}

// PutAPIKey stores a producer's key: see store.Store.
func (s *Store) PutAPIKey(ctx context.Context, k store.APIKey) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	return s.writer.submit(ctx, &op{do: func(t *tx) error {
		q := t.putAPIKey
		q.bindBytes(1, k.Hash[:])
		q.bindText(2, k.Owner)
		q.bindText(3, k.Label)
		q.bindTime(4, store.MillisOf(k.CreatedAt))
		q.bindTime(5, store.MillisOf(k.ExpiresAt))
		q.bindTime(6, store.MillisOf(k.RevokedAt))
		q.bindInt(7, k.MaxTTL.Milliseconds())
		q.bindInt(8, k.MaxBytes)
		q.bindInt(9, int64(k.Rate))
		q.bindInt(10, int64(k.Quota.Daily))
		q.bindInt(11, int64(k.Quota.Active))
		return q.run()
	}})
}

// APIKey gives a producer's key: see store.Store.
func (s *Store) APIKey(ctx context.Context, hash store.Hash) (*store.APIKey, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	k := &store.APIKey{}
	err := s.read(ctx, func(r *reader) error {
		q := r.apiKey
		q.bindBytes(1, hash[:])
		ok, err := q.step()
		if err != nil {
			return err
		}
		if !ok {
			return store.ErrNotFound
		}
		*k = scanKey(q)
		q.reset()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return k, nil
}

// APIKeys gives all keys: see store.Store.
func (s *Store) APIKeys(ctx context.Context) ([]store.APIKey, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	var keys []store.APIKey
	err := s.read(ctx, func(r *reader) error {
		return r.apiKeys.each(func() { keys = append(keys, scanKey(r.apiKeys)) })
	})
	return keys, err
}

// RevokeAPIKey revokes a key: see store.Store.
func (s *Store) RevokeAPIKey(ctx context.Context, hash store.Hash, now time.Time) (*store.APIKey, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	o := &struct {
		op
		key   store.APIKey
		found bool
	}{}
	o.do = func(t *tx) error {
		q := t.revoke
		q.bindTime(1, store.MillisOf(now))
		q.bindBytes(2, hash[:])
		o.found = false
		return q.each(func() { o.key, o.found = scanKey(q), true })
	}
	if err := s.writer.submit(ctx, &o.op); err != nil {
		return nil, err
	}
	if !o.found {
		return nil, store.ErrNotFound
	}
	return &o.key, nil
}
