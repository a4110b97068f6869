package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"kubbi-mcp/relay/store"
)

const keyColumns = "hash, owner, label, created_at, expires_at, revoked_at, max_ttl, max_bytes, rate, daily, active"

// PutAPIKey stores a producer's key: see store.Store.
func (s *Store) PutAPIKey(ctx context.Context, k store.APIKey) error {
	return s.run(ctx, func(q *session) error {
		var b pgx.Batch
		b.Queue("INSERT INTO api_key ("+keyColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (hash) DO NOTHING",
			k.Hash[:], k.Owner, k.Label, at(k.CreatedAt), at(k.ExpiresAt), at(k.RevokedAt),
			k.MaxTTL.Milliseconds(), k.MaxBytes, k.Rate, k.Quota.Daily, k.Quota.Active)
		return q.apply(ctx, &b)
	})
}

// APIKey gives a producer's key: see store.Store.
func (s *Store) APIKey(ctx context.Context, hash store.Hash) (*store.APIKey, error) {
	return s.oneKey(ctx, "SELECT "+keyColumns+" FROM api_key WHERE hash = $1", hash[:])
}

// RevokeAPIKey revokes a key: see store.Store.
func (s *Store) RevokeAPIKey(ctx context.Context, hash store.Hash, now time.Time) (*store.APIKey, error) {
	return s.oneKey(ctx, "UPDATE api_key SET revoked_at = coalesce(revoked_at, $2) WHERE hash = $1 RETURNING "+keyColumns, hash[:], at(now))
}

func (s *Store) oneKey(ctx context.Context, sql string, args ...any) (*store.APIKey, error) {
	keys, err := s.keys(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, store.ErrNotFound
	}
	return &keys[0], nil
}

// APIKeys gives all keys: see store.Store.
func (s *Store) APIKeys(ctx context.Context) ([]store.APIKey, error) {
	return s.keys(ctx, "SELECT "+keyColumns+" FROM api_key ORDER BY created_at, hash")
}

// keys runs a statement that gives keys.
func (s *Store) keys(ctx context.Context, sql string, args ...any) (keys []store.APIKey, err error) {
	err = s.run(ctx, func(q *session) error {
		keys = nil
		var b pgx.Batch
		b.Queue(sql, args...).Query(func(rows pgx.Rows) error {
			return eachRow(rows, func(rows pgx.Rows) error {
				var k store.APIKey
				var hash []byte
				var created, expires, revoked store.Millis
				var ttl int64
				err := rows.Scan(&hash, &k.Owner, &k.Label, to(&created), to(&expires), to(&revoked),
					&ttl, &k.MaxBytes, &k.Rate, &k.Quota.Daily, &k.Quota.Active)
				copy(k.Hash[:], hash)
				k.CreatedAt, k.ExpiresAt, k.RevokedAt = created.Time(), expires.Time(), revoked.Time()
				k.MaxTTL = time.Duration(ttl) * time.Millisecond
				keys = append(keys, k)
				return err
			})
		})
		return q.apply(ctx, &b)
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}
