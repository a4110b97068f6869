package service

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kubbi-mcp/relay/store"
)

// storeCollector reads the store's statistics whenever the metrics are read.
type storeCollector struct {
	store   store.Store
	kubbis  *prometheus.Desc
	bytes   *prometheus.Desc
	notices *prometheus.Desc
	up      *prometheus.Desc
}

func newStoreCollector(db store.Store) *storeCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &storeCollector{
		store:   db,
		kubbis:  desc("kubbi_relay_kubbis", "Kubbis in the store, ended ones until they are removed. All nodes of a store give the same.", "status"),
		bytes:   desc("kubbi_relay_stored_bytes", "Bytes of the payloads in the store. All nodes of a store give the same."),
		notices: desc("kubbi_relay_notices", "Webhook receipts in the store that wait to be delivered. All nodes of a store give the same."),
		up:      desc("kubbi_relay_store_up", "1 if the store answered when the metrics were read."),
	}
}

// Describe implements prometheus.Collector.
func (c *storeCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.kubbis, c.bytes, c.notices, c.up} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *storeCollector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...) // as many labels as the desc has
	}
	s, err := c.store.Stats(ctx)
	if err != nil {
		gauge(c.up, 0)
		return
	}
	gauge(c.up, 1)
	gauge(c.kubbis, float64(s.Active), "active")
	gauge(c.kubbis, float64(s.Expired), "expired")
	gauge(c.kubbis, float64(s.Burned), "burned")
	gauge(c.kubbis, float64(s.Deleted), "deleted")
	gauge(c.bytes, float64(s.Bytes))
	gauge(c.notices, float64(s.Notices))
}

// countedStore counts the failures of a store. Errors that are answers to a client, such as
// ErrNotFound, do not count.
type countedStore struct {
	store.Store
	failures *prometheus.CounterVec
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
	c.failures.WithLabelValues(call).Inc()
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
