package sqlite

import (
	"context"
	"errors"
	"time"

	"kubbi-mcp/relay/store"
)

// Notices hands out notices: see store.Store.
func (s *Store) Notices(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]store.Notice, error) {
	return nil, errors.ErrUnsupported
}

// NoticeLater puts a notice off: see store.Store.
func (s *Store) NoticeLater(ctx context.Context, id string, due time.Time) error {
	return errors.ErrUnsupported
}

// NoticeDone removes a notice: see store.Store.
func (s *Store) NoticeDone(ctx context.Context, id string) error { return errors.ErrUnsupported }

// Take counts uses in a window: see store.Store.
func (s *Store) Take(ctx context.Context, bucket store.Hash, window time.Duration, n, limit int, now time.Time) (taken, sum int, err error) {
	return 0, 0, errors.ErrUnsupported
}

// APIKeys gives all keys: see store.Store.
func (s *Store) APIKeys(ctx context.Context) ([]store.APIKey, error) {
	return nil, errors.ErrUnsupported
}

// RevokeAPIKey revokes a key: see store.Store.
func (s *Store) RevokeAPIKey(ctx context.Context, hash store.Hash, now time.Time) (*store.APIKey, error) {
	return nil, errors.ErrUnsupported
}

// Stats counts what is in the store: see store.Store.
func (s *Store) Stats(ctx context.Context) (*store.Stats, error) { return nil, errors.ErrUnsupported }
