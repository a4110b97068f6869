package sqlite

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"kubbi-mcp/relay/store"
)

// noticed is a kubbi as a notice keeps it. It is short, since on a full disk it has
// to find its place where the payload was.
type noticed struct {
	ID            []byte       `json:"i"`
	Number        store.Number `json:"n"`
	Hash          []byte       `json:"h"`
	Owner         string       `json:"o"`
	MasterKey     string       `json:"m"`
	Package       bool         `json:"p,omitempty"`
	ContentType   string       `json:"t,omitempty"`
	FileCount     int          `json:"f,omitempty"`
	Size          int64        `json:"s,omitempty"`
	Notify        []byte       `json:"y"`
	MaxRetrievals int          `json:"x,omitempty"`
	Retrievals    int          `json:"r,omitempty"`
	First         int64        `json:"1"`
	Last          int64        `json:"2"`
	Status        store.Status `json:"a,omitempty"`
	Created       int64        `json:"c"`
	Expires       int64        `json:"e"`
	Ended         int64        `json:"d"`
}

func (n *noticed) kubbi() (store.Kubbi, error) {
	var r row
	if len(n.ID) != len(r.id) || len(n.Hash) != len(r.hash) {
		return store.Kubbi{}, errRow
	}
	r = row{
		Life: store.Life{
			Status: n.Status, Retrievals: n.Retrievals, MaxRetrievals: n.MaxRetrievals,
			First: store.Millis(n.First), Last: store.Millis(n.Last), Ended: store.Millis(n.Ended), Expires: store.Millis(n.Expires),
		},
		number: n.Number, created: store.Millis(n.Created), pkg: n.Package, fileCount: n.FileCount, size: n.Size,
		owner: n.Owner, masterKey: n.MasterKey, contentType: n.ContentType,
	}
	copy(r.id[:], n.ID)
	copy(r.hash[:], n.Hash)
	k := r.bare()
	k.Notify = n.Notify
	return k, nil
}

// notify leaves a notice, as of at, if somebody is to be told of what happens
// to the row.
func (t *tx) notify(r *row, event store.Event, at store.Millis) error {
	if r.notify == nil {
		return nil
	}
	id := uuid.New()
	b, err := json.Marshal(noticed{
		ID: r.id[:], Number: r.number, Hash: r.hash[:], Owner: r.owner, MasterKey: r.masterKey, Package: r.pkg, ContentType: r.contentType,
		FileCount: r.fileCount, Size: r.size, Notify: r.notify, MaxRetrievals: r.MaxRetrievals, Retrievals: r.Retrievals,
		First: int64(r.First), Last: int64(r.Last), Status: r.Status, Created: int64(r.created), Expires: int64(r.Expires), Ended: int64(r.Ended),
	})
	if err != nil {
		return err
	}
	s := t.putNotice
	s.bindBytes(1, id[:])
	s.bindInt(2, int64(at))
	s.bindInt(3, int64(event))
	s.bindInt(4, int64(at))
	s.bindText(5, r.masterKey)
	s.bindBytes(6, b)
	t.totals.add(masterKeyUses, r.masterKey, total{n: 1})
	t.totals.add(wholeStore, "", total{notices: 1})
	return s.run()
}

// Notices hands out notices: see store.Store.
func (s *Store) Notices(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]store.Notice, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	o := &struct {
		op
		notices []store.Notice
	}{}
	o.do = func(t *tx) (err error) {
		o.notices, err = t.notices(store.MillisOf(now), store.MillisOf(now.Add(lease)), limit)
		return err
	}
	if err := s.writer.submit(ctx, &o.op); err != nil {
		return nil, err
	}
	return o.notices, nil
}

func (t *tx) notices(now, leased store.Millis, limit int) ([]store.Notice, error) {
	s := t.dueNotices
	s.bindInt(1, int64(now))
	s.bindInt(2, int64(max(0, limit)))
	var found []store.Notice
	var seqs []int64
	if err := s.each(func() {
		n := store.Notice{Event: store.Event(s.int(2)), At: s.time(3).Time(), Attempts: int(s.int(4)) + 1}
		var id uuid.UUID
		var kept noticed
		err := errRow
		if s.into(1, id[:]) {
			if err = json.Unmarshal(s.bytes(5), &kept); err == nil {
				n.Kubbi, err = kept.kubbi()
			}
		}
		seqs = append(seqs, s.int(0))
		if err != nil { // it must not hold up the others
			return
		}
		n.ID = id.String()
		found = append(found, n)
	}); err != nil {
		return nil, err
	}
	for _, seq := range seqs {
		t.lease.bindInt(1, int64(leased))
		t.lease.bindInt(2, seq)
		if err := t.lease.run(); err != nil {
			return nil, err
		}
	}
	// Those that were put off are due later than they are old.
	slices.SortStableFunc(found, func(a, b store.Notice) int { return a.At.Compare(b.At) })
	return found, nil
}

// NoticeLater puts a notice off: see store.Store.
func (s *Store) NoticeLater(ctx context.Context, id string, due time.Time) error {
	return s.onNotice(ctx, id, func(t *tx, id uuid.UUID) error {
		q := t.postpone
		q.bindInt(1, int64(store.MillisOf(due)))
		q.bindBytes(2, id[:])
		return q.run()
	})
}

// NoticeDone removes a notice: see store.Store.
func (s *Store) NoticeDone(ctx context.Context, id string) error {
	return s.onNotice(ctx, id, func(t *tx, id uuid.UUID) error {
		q := t.noticeKey
		q.bindBytes(1, id[:])
		found, err := q.step()
		if err != nil || !found {
			return err
		}
		masterKey := q.text(0)
		q.reset()
		q = t.dropNote
		q.bindBytes(1, id[:])
		t.totals.add(masterKeyUses, masterKey, total{n: -1})
		t.totals.add(wholeStore, "", total{notices: -1})
		return q.run()
	})
}

// onNotice has the writer do something to a notice that may not be there.
func (s *Store) onNotice(ctx context.Context, id string, do func(*tx, uuid.UUID) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	u, err := uuid.Parse(id)
	if err != nil {
		return nil
	}
	return s.writer.submit(ctx, &op{do: func(t *tx) error { return do(t, u) }})
}
