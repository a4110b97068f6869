package sqlite

import (
	"context"
	"time"

	"kubbi-mcp/relay/store"
)

// checkQuota returns an error if the owner's quota is used up. Otherwise it counts one more
// kubbi of the day. It must be called before the first write of an op. The count is written
// together with the totals.
func (t *tx) checkQuota(owner string, q store.Quota, now store.Millis) error {
	if q.Active > 0 {
		active, err := t.active(owner, int64(q.Active), now)
		if err != nil {
			return err
		}
		if active >= int64(q.Active) {
			return store.ErrActiveQuota
		}
	}
	if q.Daily > 0 {
		counted, _, err := t.countUses(store.DayWindow(owner, now), 1, int64(q.Daily))
		if err != nil {
			return err
		}
		if counted == 0 {
			return store.ErrDailyQuota
		}
	}
	return nil
}

// active is how many active kubbis an owner has. It subtracts expired kubbis that no sweep has
// visited yet, but only if the number has reached the limit.
func (t *tx) active(owner string, limit int64, now store.Millis) (int64, error) {
	var active, loose int64
	if err := t.rows("SELECT active, loose FROM total WHERE kind = 0 AND name = ?",
		func(s *stmt) { active, loose = s.int(0), s.int(1) }, owner); err != nil {
		return 0, err
	}
	d := t.totals[totalKey{ownersKubbis, owner}]
	active += d.of[store.Active]
	loose += d.loose
	if active >= limit {
		expired, err := t.number(`SELECT count(*) FROM (SELECT 1 FROM kubbi INDEXED BY kubbi_quota
			WHERE owner = ?1 AND expires_at <= ?2 AND quota = 1 AND status = 0 LIMIT ?3)`, owner, now, active-limit+1)
		if err != nil {
			return 0, err
		}
		active -= expired
	}
	if active >= limit && loose > 0 {
		expired, err := t.number(`SELECT count(*) FROM (SELECT 1 FROM kubbi INDEXED BY kubbi_due
			WHERE owner = ?1 AND due BETWEEN 0 AND ?2 AND expires_at <= ?2 AND quota = 0 AND status = 0 LIMIT ?3)`, owner, now, active-limit+1)
		if err != nil {
			return 0, err
		}
		active -= expired
	}
	return active, nil
}

// uses is the sum of a window: in the table, and with the uses of this transaction.
type uses struct{ was, n int64 }

// CountUses counts uses of a bucket: see store.Store.
func (s *Store) CountUses(ctx context.Context, bucket store.Hash, length time.Duration, n, limit int, now time.Time) (counted, sum int, err error) {
	w := store.NewWindow(bucket, length, store.MillisOf(now))
	o := &struct {
		op
		counted, sum int64
	}{}
	o.do = func(t *tx) (err error) {
		o.counted, o.sum, err = t.countUses(w, int64(n), int64(limit))
		return err
	}
	if err := s.change(ctx, &o.op); err != nil {
		return 0, 0, err
	}
	return int(o.counted), int(o.sum), nil
}

func (t *tx) countUses(w store.Window, n, limit int64) (counted, sum int64, err error) {
	u := t.used[w]
	if u == nil {
		was, err := t.number("SELECT n FROM used WHERE ends = ? AND length = ? AND bucket = ?", w.Ends, w.Length, w.Bucket[:])
		if err != nil {
			return 0, 0, err
		}
		u = &uses{was, was}
		t.used[w] = u
	}
	counted = max(0, min(n, limit-u.n))
	u.n += counted
	return counted, u.n, nil
}

// writeUses writes the sums that the transaction has changed.
func (t *tx) writeUses() error {
	for w, u := range t.used {
		if u.n == u.was {
			continue
		}
		if err := t.exec("INSERT OR REPLACE INTO used (ends, length, bucket, n) VALUES (?, ?, ?, ?)", w.Ends, w.Length, w.Bucket[:], u.n); err != nil {
			return err
		}
	}
	return nil
}
