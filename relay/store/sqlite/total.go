package sqlite

import (
	"context"

	"kubbi-mcp/relay/store"
)

// The kinds of rows in the table total.
const (
	ownersKubbis  = 0
	masterKeyUses = 1
	wholeStore    = 2
)

// total is what is added to a row of the table total.
type total struct {
	n, active, loose         int64
	expired, burned, deleted int64
	bytes, notices           int64
}

// totals are what the ops of a transaction add, by row.
type totals map[totalKey]total

type totalKey struct {
	kind int64
	name string
}

func (ts totals) add(kind int64, name string, d total) {
	k := totalKey{kind, name}
	s := ts[k]
	s.n += d.n
	s.active += d.active
	s.loose += d.loose
	s.expired += d.expired
	s.burned += d.burned
	s.deleted += d.deleted
	s.bytes += d.bytes
	s.notices += d.notices
	ts[k] = s
}

func (t *tx) writeTotal(k totalKey, d total) error {
	s := t.addTotal
	s.bindInt(1, k.kind)
	s.bindText(2, k.name)
	for i, v := range [...]int64{d.n, d.active, d.loose, d.expired, d.burned, d.deleted, d.bytes, d.notices} {
		s.bindInt(3+i, v)
	}
	return s.run()
}

// created counts a new kubbi.
func (t *tx) created(k *store.Kubbi, q store.Quota) {
	t.totals.add(ownersKubbis, k.Owner, total{n: 1, active: 1, loose: b2i(q.Active == 0)})
	t.totals.add(masterKeyUses, k.MasterKey, total{n: 1})
	t.totals.add(wholeStore, "", total{active: 1, bytes: k.Size})
}

// uncreated takes created back.
func (t *tx) uncreated(k *store.Kubbi, q store.Quota) {
	t.totals.add(ownersKubbis, k.Owner, total{n: -1, active: -1, loose: -b2i(q.Active == 0)})
	t.totals.add(masterKeyUses, k.MasterKey, total{n: -1})
	t.totals.add(wholeStore, "", total{active: -1, bytes: -k.Size})
}

// end counts the end of a row that was Active, and leaves its notice.
func (t *tx) end(r *row) error {
	d := total{active: -1}
	event := store.EventDeleted
	switch r.Status {
	case store.Expired:
		d.expired, event = 1, store.EventExpired
	case store.Burned:
		d.burned, event = 1, store.EventBurned
	default:
		d.deleted = 1
	}
	t.totals.add(wholeStore, "", d)
	d.loose = -b2i(!r.quota)
	t.totals.add(ownersKubbis, r.owner, d)
	return t.notify(r, event, r.Ended)
}

// removed uncounts a tombstone.
func (t *tx) removed(r *row) {
	var d total
	switch r.Status {
	case store.Expired:
		d.expired = -1
	case store.Burned:
		d.burned = -1
	case store.Deleted:
		d.deleted = -1
	}
	t.totals.add(wholeStore, "", d)
	d.n = -1
	t.totals.add(ownersKubbis, r.owner, d)
}

// Stats counts what is in the store: see store.Store. It is never old.
func (s *Store) Stats(ctx context.Context) (*store.Stats, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	var st store.Stats
	err := s.read(ctx, func(r *reader) error {
		return r.stats.each(func() {
			q := r.stats
			st = store.Stats{
				Active: int(q.int(0)), Expired: int(q.int(1)), Burned: int(q.int(2)), Deleted: int(q.int(3)),
				Bytes: q.int(4), Notices: int(q.int(5)),
			}
		})
	})
	if err != nil {
		return nil, err
	}
	return &st, nil
}
