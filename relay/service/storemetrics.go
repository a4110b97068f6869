package service

import (
	"context"
	"errors"
	"io"
	"time"

	"kubbi-mcp/internal/prometheus"
	"kubbi-mcp/relay/store"
)

// readStore reads the store's statistics. If the store does not answer, the metrics say so.
func readStore(ctx context.Context, db store.Store, now *prometheus.Set) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	up := now.Gauge("kubbi_relay_store_up", "1 if the store answered when the metrics were read.").With()
	s, err := db.Stats(ctx)
	if err != nil {
		return
	}
	up.Set(1)
	kubbis := now.Gauge("kubbi_relay_kubbis", "Kubbis in the store, ended ones until they are removed. All nodes of a store give the same.", "status")
	kubbis.With("active").Set(float64(s.Active))
	kubbis.With("expired").Set(float64(s.Expired))
	kubbis.With("burned").Set(float64(s.Burned))
	kubbis.With("deleted").Set(float64(s.Deleted))
	now.Gauge("kubbi_relay_stored_bytes", "Bytes of the payloads in the store. All nodes of a store give the same.").With().Set(float64(s.Bytes))
	now.Gauge("kubbi_relay_notices", "Webhook receipts in the store that wait to be delivered. All nodes of a store give the same.").With().Set(float64(s.Notices))
}

// countedStore counts the failures of a store. Errors that are answers to a client, such as
// ErrNotFound, do not count.
type countedStore struct {
	store.Store
	failures *prometheus.Counters
}

func (m *metrics) counting(db store.Store) store.Store { return &countedStore{db, m.failures} }

// storeCalls are the calls that are counted.
func storeCalls() []string {
	return []string{"create", "inspect", "claim", "release", "get", "list", "delete", "states", "sweep", "count_uses", "api_key", "notices", "ping"}
}

func (c *countedStore) count(call string, err error) {
	for _, expected := range []error{
		nil, store.ErrNotFound, store.ErrOtherKey, store.ErrExpired, store.ErrBurned, store.ErrDeleted, store.ErrExists, store.ErrKeyReused,
		store.ErrDailyQuota, store.ErrActiveQuota, store.ErrMasterKey, context.Canceled,
	} {
		if errors.Is(err, expected) {
			return
		}
	}
	c.failures.With(call).Inc()
}

// counted makes a function that counts the error of a call and returns its results.
func counted[T any](c *countedStore, call string) func(T, error) (T, error) {
	return func(v T, err error) (T, error) {
		c.count(call, err)
		return v, err
	}
}

func (c *countedStore) Create(ctx context.Context, k *store.Kubbi, payload io.Reader, key *store.CreateKey, quota store.Quota, now time.Time) (*store.Replay, error) {
	// An error of the payload is the client's or the relay's, not the store's.
	watched := &failureReader{Reader: payload}
	replay, err := c.Store.Create(ctx, k, watched, key, quota, now)
	if !watched.failed {
		c.count("create", err)
	}
	return replay, err
}

// failureReader records whether its reader has failed.
type failureReader struct {
	io.Reader
	failed bool
}

func (r *failureReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.failed = r.failed || err != nil && !errors.Is(err, io.EOF)
	return n, err
}

func (c *countedStore) Inspect(ctx context.Context, token store.Token, now time.Time) (*store.Kubbi, error) {
	return counted[*store.Kubbi](c, "inspect")(c.Store.Inspect(ctx, token, now))
}

func (c *countedStore) Claim(ctx context.Context, token store.Token, key *store.ClaimKey, opens []string, now time.Time) (*store.Claimed, error) {
	return counted[*store.Claimed](c, "claim")(c.Store.Claim(ctx, token, key, opens, now))
}

func (c *countedStore) Release(ctx context.Context, token store.Token, key store.Hash, now time.Time) error {
	err := c.Store.Release(ctx, token, key, now)
	c.count("release", err)
	return err
}

func (c *countedStore) Get(ctx context.Context, owner, id string, now time.Time) (*store.Kubbi, error) {
	return counted[*store.Kubbi](c, "get")(c.Store.Get(ctx, owner, id, now))
}

func (c *countedStore) List(ctx context.Context, owner string, p store.Page, now time.Time) (*store.Listed, error) {
	return counted[*store.Listed](c, "list")(c.Store.List(ctx, owner, p, now))
}

func (c *countedStore) Delete(ctx context.Context, owner, id string, now time.Time) (*store.Kubbi, error) {
	return counted[*store.Kubbi](c, "delete")(c.Store.Delete(ctx, owner, id, now))
}

func (c *countedStore) States(ctx context.Context, numbers []store.Number, since store.Mark, now time.Time) ([]store.State, store.Mark, error) {
	states, mark, err := c.Store.States(ctx, numbers, since, now)
	c.count("states", err)
	return states, mark, err
}

func (c *countedStore) Sweep(ctx context.Context, now time.Time, retention time.Duration, limit int) (store.Swept, error) {
	return counted[store.Swept](c, "sweep")(c.Store.Sweep(ctx, now, retention, limit))
}

func (c *countedStore) CountUses(ctx context.Context, bucket store.Hash, window time.Duration, n, limit int, now time.Time) (taken, sum int, err error) {
	taken, sum, err = c.Store.CountUses(ctx, bucket, window, n, limit, now)
	c.count("count_uses", err)
	return taken, sum, err
}

func (c *countedStore) APIKey(ctx context.Context, hash store.Hash) (*store.APIKey, error) {
	return counted[*store.APIKey](c, "api_key")(c.Store.APIKey(ctx, hash))
}

func (c *countedStore) Notices(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]store.Notice, error) {
	return counted[[]store.Notice](c, "notices")(c.Store.Notices(ctx, now, lease, limit))
}

func (c *countedStore) Ping(ctx context.Context) error {
	err := c.Store.Ping(ctx)
	c.count("ping", err)
	return err
}
