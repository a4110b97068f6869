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
	if err := s.args(len(k.name) + 1); err != nil {
		return err
	}
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

// end counts the end of a row that was Active, and leaves its notice.
func (t *tx) end(r *row) error {
	t.totals.add(ownersKubbis, r.owner, total{active: -1, loose: -b2i(!r.quota)})
	switch r.status {
	case store.Expired:
		t.totals.add(wholeStore, "", total{active: -1, expired: 1})
		return t.notify(r, store.EventExpired, r.ended)
	case store.Burned:
		t.totals.add(wholeStore, "", total{active: -1, burned: 1})
		return t.notify(r, store.EventBurned, r.ended)
	default:
		t.totals.add(wholeStore, "", total{active: -1, deleted: 1})
		return t.notify(r, store.EventDeleted, r.ended)
	}
}

// removed uncounts a tombstone.
func (t *tx) removed(r *row) {
	t.totals.add(ownersKubbis, r.owner, total{n: -1})
	switch r.status {
	case store.Expired:
		t.totals.add(wholeStore, "", total{expired: -1})
	case store.Burned:
		t.totals.add(wholeStore, "", total{burned: -1})
	case store.Deleted:
		t.totals.add(wholeStore, "", total{deleted: -1})
	}
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
