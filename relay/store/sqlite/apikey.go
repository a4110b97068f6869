package sqlite

import (
	"context"
	"time"

	"kubbi-mcp/relay/store"
)

// keyColumns are the columns of an API key after its hash, in the order of scanKey.
const keyColumns = "owner, label, created_at, expires_at, revoked_at, max_ttl, max_bytes, rate, daily, active"

// scanKey reads a row of hash and keyColumns.
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
	return s.change(ctx, &op{do: func(t *tx) error {
		return t.exec("INSERT OR IGNORE INTO api_key (hash, "+keyColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			k.Hash[:], k.Owner, k.Label, store.MillisOf(k.CreatedAt), store.MillisOf(k.ExpiresAt), store.MillisOf(k.RevokedAt),
			k.MaxTTL.Milliseconds(), k.MaxBytes, k.Rate, k.Quota.Daily, k.Quota.Active)
	}})
}

// APIKey gives a producer's key: see store.Store.
func (s *Store) APIKey(ctx context.Context, hash store.Hash) (*store.APIKey, error) {
	var k *store.APIKey
	err := s.read(ctx, func(c *conn) error {
		return c.rows("SELECT hash, "+keyColumns+" FROM api_key WHERE hash = ?", func(s *stmt) { k = new(scanKey(s)) }, hash[:])
	})
	return found(k, err)
}

// APIKeys gives all keys: see store.Store.
func (s *Store) APIKeys(ctx context.Context) (keys []store.APIKey, err error) {
	err = s.read(ctx, func(c *conn) error {
		return c.rows("SELECT hash, "+keyColumns+" FROM api_key ORDER BY created_at, hash", func(s *stmt) { keys = append(keys, scanKey(s)) })
	})
	return keys, err
}

// RevokeAPIKey revokes a key: see store.Store.
func (s *Store) RevokeAPIKey(ctx context.Context, hash store.Hash, now time.Time) (*store.APIKey, error) {
	o := &struct {
		op
		key *store.APIKey
	}{}
	o.do = func(t *tx) error {
		o.key = nil
		return t.rows("UPDATE api_key SET revoked_at = ifnull(revoked_at, ?) WHERE hash = ? RETURNING hash, "+keyColumns,
			func(s *stmt) { o.key = new(scanKey(s)) }, store.MillisOf(now), hash[:])
	}
	if err := s.change(ctx, &o.op); err != nil {
		return nil, err
	}
	return found(o.key, nil)
}

func found(k *store.APIKey, err error) (*store.APIKey, error) {
	if k == nil && err == nil {
		err = store.ErrNotFound
	}
	return k, err
}
