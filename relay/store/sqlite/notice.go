package sqlite

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"kubbi-mcp/relay/store"
)

// putNotice stores a notice.
func (t *tx) putNotice(n *store.Notice) error {
	kubbi, err := json.Marshal(n.Kubbi)
	if err != nil {
		return err
	}
	id, at := uuid.MustParse(n.ID), store.MillisOf(n.At)
	t.totals.countNotice(n.Kubbi.MasterKey, 1)
	return t.exec("INSERT INTO notice (id, due, event, at, attempts, master_key, kubbi) VALUES (?, ?, ?, ?, 0, ?, ?)",
		id[:], at, n.Event, at, n.Kubbi.MasterKey, kubbi)
}

// Notices leases notices: see store.Store.
func (s *Store) Notices(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]store.Notice, error) {
	o := &struct {
		op
		notices []store.Notice
	}{}
	o.do = func(t *tx) (err error) {
		o.notices, err = t.lease(store.MillisOf(now), store.MillisOf(now.Add(lease)), limit)
		return err
	}
	if err := s.change(ctx, &o.op); err != nil {
		return nil, err
	}
	return o.notices, nil
}

func (t *tx) lease(now, until store.Millis, limit int) (found []store.Notice, err error) {
	var seqs []int64
	if err := t.rows("SELECT seq, id, event, at, attempts, kubbi FROM notice INDEXED BY notice_due WHERE due <= ? ORDER BY due, seq LIMIT ?", func(s *stmt) {
		seqs = append(seqs, s.int(0))
		n := store.Notice{Event: store.Event(s.int(2)), At: s.time(3).Time(), Attempts: int(s.int(4)) + 1}
		var id uuid.UUID
		if !s.into(1, id[:]) || json.Unmarshal(s.bytes(5), &n.Kubbi) != nil {
			return // a damaged notice must not block the others
		}
		n.ID = id.String()
		found = append(found, n)
	}, now, max(0, limit)); err != nil {
		return nil, err
	}
	for _, seq := range seqs {
		if err := t.exec("UPDATE notice SET due = ?, attempts = attempts + 1 WHERE seq = ?", until, seq); err != nil {
			return nil, err
		}
	}
	// The order of due differs, since some notices were postponed.
	slices.SortStableFunc(found, func(a, b store.Notice) int { return a.At.Compare(b.At) })
	return found, nil
}

// NoticeLater postpones a notice: see store.Store.
func (s *Store) NoticeLater(ctx context.Context, id string, due time.Time) error {
	return s.onNotice(ctx, id, func(t *tx, id []byte) error {
		return t.exec("UPDATE notice SET due = ? WHERE id = ?", store.MillisOf(due), id)
	})
}

// NoticeDone removes a notice: see store.Store.
func (s *Store) NoticeDone(ctx context.Context, id string) error {
	return s.onNotice(ctx, id, func(t *tx, id []byte) error {
		return t.rows("DELETE FROM notice WHERE id = ? RETURNING master_key", func(s *stmt) { t.totals.countNotice(s.text(0), -1) }, id)
	})
}

// onNotice changes a notice. It is no error if the notice does not exist.
func (s *Store) onNotice(ctx context.Context, id string, do func(*tx, []byte) error) error {
	return s.change(ctx, &op{do: func(t *tx) error {
		u, err := uuid.Parse(id)
		if err != nil {
			return nil
		}
		return do(t, u[:])
	}})
}
