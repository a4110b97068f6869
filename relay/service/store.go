package service

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kubbi-mcp/relay/store"
)

// contents is what a store holds, as it is when it is asked.
type contents struct {
	store   store.Store
	kubbis  *prometheus.Desc
	bytes   *prometheus.Desc
	notices *prometheus.Desc
	up      *prometheus.Desc
}

func newContents(db store.Store) *contents {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &contents{
		store:   db,
		kubbis:  desc("kubbi_relay_kubbis", "Kubbis in the store, ended ones until they are removed. All nodes of a store give the same.", "status"),
		bytes:   desc("kubbi_relay_stored_bytes", "Bytes of the payloads in the store. All nodes of a store give the same."),
		notices: desc("kubbi_relay_notices", "Webhook receipts in the store that wait to be delivered. All nodes of a store give the same."),
		up:      desc("kubbi_relay_store_up", "1 if the store answered when the metrics were read."),
	}
}

// Describe implements prometheus.Collector.
func (c *contents) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.kubbis, c.bytes, c.notices, c.up} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *contents) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), probePatience)
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

// counted is a store whose failures are counted, where it is more than what a
// client asked for: those are outcomes of requests.
type counted struct {
	store.Store
	failures *prometheus.CounterVec
}

func (m *metrics) counting(db store.Store) store.Store { return &counted{db, m.failures} }

// storeCalls are those that are counted.
func storeCalls() []string {
	return []string{"create", "inspect", "claim", "release", "get", "list", "delete", "sweep", "take", "api_key", "notices", "ping"}
}

func (c *counted) count(call string, err error) {
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

func (c *counted) Create(ctx context.Context, k *store.Kubbi, payload io.Reader, key *store.CreateKey, quota store.Quota, now time.Time) (*store.Replay, error) {
	// What the payload fails with is the client's, or the relay's own.
	watched := &watchedReader{Reader: payload}
	replay, err := c.Store.Create(ctx, k, watched, key, quota, now)
	if !watched.failed {
		c.count("create", err)
	}
	return replay, err
}

// watchedReader notes whether a reader has failed.
type watchedReader struct {
	io.Reader
	failed bool
}

func (r *watchedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.failed = r.failed || err != nil && !errors.Is(err, io.EOF)
	return n, err
}

func (c *counted) Inspect(ctx context.Context, token store.Token, now time.Time) (*store.Kubbi, error) {
	k, err := c.Store.Inspect(ctx, token, now)
	c.count("inspect", err)
	return k, err
}

func (c *counted) Claim(ctx context.Context, token store.Token, key *store.ClaimKey, opens []string, now time.Time) (*store.Claimed, error) {
	claimed, err := c.Store.Claim(ctx, token, key, opens, now)
	c.count("claim", err)
	return claimed, err
}

func (c *counted) Release(ctx context.Context, token store.Token, key store.Hash, now time.Time) error {
	err := c.Store.Release(ctx, token, key, now)
	c.count("release", err)
	return err
}

func (c *counted) Get(ctx context.Context, owner, id string, now time.Time) (*store.Kubbi, error) {
	k, err := c.Store.Get(ctx, owner, id, now)
	c.count("get", err)
	return k, err
}

func (c *counted) List(ctx context.Context, owner string, p store.Page, now time.Time) (*store.Listed, error) {
	l, err := c.Store.List(ctx, owner, p, now)
	c.count("list", err)
	return l, err
}

func (c *counted) Delete(ctx context.Context, owner, id string, now time.Time) (*store.Kubbi, error) {
	k, err := c.Store.Delete(ctx, owner, id, now)
	c.count("delete", err)
	return k, err
}

func (c *counted) Sweep(ctx context.Context, now time.Time, retention time.Duration, limit int) (store.Swept, error) {
	s, err := c.Store.Sweep(ctx, now, retention, limit)
	c.count("sweep", err)
	return s, err
}

func (c *counted) CountUses(ctx context.Context, bucket store.Hash, window time.Duration, n, limit int, now time.Time) (taken, sum int, err error) {
	taken, sum, err = c.Store.CountUses(ctx, bucket, window, n, limit, now)
	c.count("take", err)
	return taken, sum, err
}

func (c *counted) APIKey(ctx context.Context, hash store.Hash) (*store.APIKey, error) {
	k, err := c.Store.APIKey(ctx, hash)
	c.count("api_key", err)
	return k, err
}

func (c *counted) Notices(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]store.Notice, error) {
	n, err := c.Store.Notices(ctx, now, lease, limit)
	c.count("notices", err)
	return n, err
}

func (c *counted) Ping(ctx context.Context) error {
	err := c.Store.Ping(ctx)
	c.count("ping", err)
	return err
}
