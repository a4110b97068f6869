package sqlite

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"kubbi-mcp/relay/store"
)

const day = 24 * time.Hour

// room tells whether the owner's quota has room for one more kubbi, and counts
// it in the day's. It comes before the first write of an op; what it counts is
// written with the totals.
func (t *tx) room(owner string, q store.Quota, at store.Millis) error {
	now := int64(at)
	if q.Active > 0 {
		full, err := t.full(owner, int64(q.Active), now)
		if err != nil {
			return err
		}
		if full {
			return store.ErrActiveQuota
		}
	}
	if q.Daily > 0 {
		// No bucket of a caller's is like it: theirs are hashes of other things.
		bucket := store.Hash(sha256.Sum256([]byte("kubbis of a day, created by " + owner)))
		taken, _, err := t.take(bucket, day.Milliseconds(), 1, int64(q.Daily), now)
		if err != nil {
			return err
		}
		if taken == 0 {
			return store.ErrDailyQuota
		}
	}
	return nil
}

// full tells whether the owner has that many active kubbis. Those that have
// expired and were not swept yet are counted only where they matter.
func (t *tx) full(owner string, limit, now int64) (bool, error) {
	s := t.owned
	s.bindText(1, owner)
	var active, loose int64
	if err := s.each(func() { active, loose = s.int(0), s.int(1) }); err != nil {
		return false, err
	}
	d := t.totals[totalKey{ownersKubbis, owner}]
	active += d.active
	loose += d.loose
	for _, s := range []*stmt{t.outlived, t.outlivedLoose} {
		if active < limit || s == t.outlivedLoose && loose == 0 {
			break
		}
		s.bindText(1, owner)
		s.bindInt(2, now)
		s.bindInt(3, active-limit+1)
		n, err := s.one()
		if err != nil {
			return false, err
		}
		active -= n
	}
	return active >= limit, nil
}

// window is a row of the table used.
type window struct {
	ends, length int64
	bucket       store.Hash
}

// use is how often a window is used: as it stands in the table, and now.
type use struct{ was, n int64 }

var errWindow = errors.New("window of less than a millisecond")

// Take counts uses in a window: see store.Store.
func (s *Store) Take(ctx context.Context, bucket store.Hash, length time.Duration, n, limit int, now time.Time) (taken, sum int, err error) {
	if err := s.enter(ctx); err != nil {
		return 0, 0, err
	}
	defer s.leave()
	if length < time.Millisecond {
		return 0, 0, errWindow
	}
	o := &struct {
		op
		taken, sum int64
	}{}
	o.do = func(t *tx) (err error) {
		o.taken, o.sum, err = t.take(bucket, length.Milliseconds(), int64(n), int64(limit), int64(store.MillisOf(now)))
		return err
	}
	if err := s.writer.submit(ctx, &o.op); err != nil {
		return 0, 0, err
	}
	return int(o.taken), int(o.sum), nil
}

func (t *tx) take(bucket store.Hash, length, n, limit, now int64) (taken, sum int64, err error) {
	start := now - now%length
	if start > now { // before 1970
		start -= length
	}
	w := window{ends: start + length, length: length, bucket: bucket}
	u := t.used[w]
	if u == nil {
		u = &use{}
		s := t.getUsed
		bindWindow(s, w)
		if err := s.each(func() { u.was = s.int(0) }); err != nil {
			return 0, 0, err
		}
		u.n = u.was
		t.used[w] = u
	}
	taken = max(0, min(n, limit-u.n))
	u.n += taken
	return taken, u.n, nil
}

func bindWindow(s *stmt, w window) {
	s.bindInt(1, w.ends)
	s.bindInt(2, w.length)
	s.bindBytes(3, w.bucket[:])
}

func (t *tx) writeUsed(w window, n int64) error {
	s := t.setUsed
	bindWindow(s, w)
	s.bindInt(4, n)
	return s.run()
}

// dropUsed forgets at most limit windows that ended before, and gives their
// number. Whoever's clock is behind may still be in one that has just ended.
func (t *tx) dropUsed(before int64, limit int) (int, error) {
	if limit == 0 {
		return 0, nil
	}
	s := t.unused
	s.bindInt(1, before)
	s.bindInt(2, int64(limit))
	if err := s.run(); err != nil {
		return 0, err
	}
	return t.c.Changes(), nil
}
