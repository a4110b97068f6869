package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/google/uuid"

	"kubbi-mcp/relay/store"
)

// creation is a create on its way to the writer.
type creation struct {
	op
	k       store.Kubbi
	id      uuid.UUID
	key     *store.CreateKey
	quota   store.Quota
	now     store.Millis
	replay  *store.Replay
	payload []byte // if it stands in the row
	body    int64  // bytes of the file; -1: it stands in the row
}

var creations = sync.Pool{New: func() any { return new(creation) }}

// Create stores a kubbi: see store.Store.
func (s *Store) Create(ctx context.Context, k *store.Kubbi, payload io.Reader, key *store.CreateKey, quota store.Quota, now time.Time) (*store.Replay, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	id, n, err := store.ParseID(k.ID)
	if err != nil {
		return nil, err
	}
	if n != k.Token.Number {
		return nil, fmt.Errorf("%w: the id does not carry the token's number", store.ErrExists)
	}
	if len(k.Record) > store.MaxRecord {
		return nil, fmt.Errorf("record of %d bytes is longer than %d", len(k.Record), store.MaxRecord)
	}
	if err := s.space.allow(int64(len(k.Record))); err != nil {
		return nil, err
	}
	c := creations.Get().(*creation)
	*c = creation{id: id, quota: quota, now: store.MillisOf(now), payload: c.payload[:0], body: -1}
	file, err := s.take(ctx, c, int64(k.Token.Number), payload)
	if err != nil {
		return nil, err
	}
	c.k = *k
	c.k.Record = bytes.Clone(k.Record)
	c.k.Notify = bytes.Clone(k.Notify)
	if key != nil && key.Grace >= time.Millisecond {
		c.key = &store.CreateKey{Key: key.Key, Request: key.Request, Answer: bytes.Clone(key.Answer), Grace: key.Grace}
	}
	c.do = c.create
	c.bytes = int64(len(c.payload))
	err = s.writer.submit(ctx, &c.op)
	if file != nil {
		// Where the context has ended, the row may still come: the sweep finds out.
		keep := err == nil && c.replay == nil || ctx.Err() != nil
		if ferr := s.leaveFile(file, keep); err == nil && keep {
			err = ferr
		}
	}
	if err != nil {
		return nil, err
	}
	replay := c.replay
	creations.Put(c) // only here can nobody but us still hold it
	return replay, nil
}

// create is the op.
func (c *creation) create(t *tx) error {
	c.replay = nil
	var spent *row // whose key is the same, but has ended
	t.taken.bindInt(1, int64(c.k.Token.Number))
	if c.key != nil {
		t.taken.bindInt(2, prefix(c.key.Key[:]))
	} else {
		t.taken.bindNull(2)
	}
	if taken, err := t.taken.one(); err != nil || taken != 0 {
		if err != nil {
			return err
		}
		var fresh bool
		if spent, fresh, err = c.collide(t); err != nil || !fresh {
			return err
		}
	}
	slot, err := t.slots.Take(int64(c.k.Token.Number), (*[32]byte)(&c.k.Secret))
	if err != nil {
		return err
	}
	if err := t.room(c.k.Owner, c.quota, c.now); err != nil {
		t.slots.Untake()
		return err
	}
	if spent != nil {
		if err := t.forget(spent); err != nil {
			return err
		}
	}
	if err := c.insert(t, slot); err != nil {
		return err
	}
	t.growing = true
	t.created(&c.k, c.quota)
	t.made = append(t.made, made{&c.op, c})
	return nil
}

// collide looks closer where the number or the key may be in use. It is not fresh
// if there is a replay; else spent is the kubbi, if any, that must forget the key
// first.
func (c *creation) collide(t *tx) (spent *row, fresh bool, err error) {
	if c.key != nil {
		r := &row{}
		switch err := r.byCreateKey(t.byKey, c.key.Key); {
		case err == nil && r.KeyUntil > c.now:
			c.replay, err = t.replay(r, c.key)
			return nil, false, err
		case err == nil:
			spent = r
		case !errors.Is(err, store.ErrNotFound):
			return nil, false, err
		}
	}
	switch err := new(row).find(t.byNumber, c.k.Token.Number); {
	case errors.Is(err, store.ErrNotFound):
		return spent, true, nil
	case err == nil || errors.Is(err, store.ErrDamaged):
		return nil, false, store.ErrExists
	default:
		return nil, false, err
	}
}

func (c *creation) insert(t *tx, slot int64) error {
	s := t.insert
	k := &c.k
	life := store.Life{Expires: store.MillisOf(k.ExpiresAt), Sealed: true, KeyUntil: store.Never}
	if c.key != nil {
		life.KeyUntil = c.now.After(c.key.Grace)
	}
	s.bindInt(1, int64(k.Token.Number))
	s.bindInt(2, int64(life.Due(store.Never)))
	s.bindInt(3, slot)
	s.bindInt(4, int64(store.MillisOf(k.CreatedAt)))
	s.bindInt(5, int64(life.Expires))
	s.bindInt(6, int64(k.MaxRetrievals))
	s.bindInt(7, b2i(k.Package))
	s.bindInt(8, int64(k.FileCount))
	s.bindInt(9, k.Size)
	s.bindInt(10, b2i(c.quota.Active > 0))
	s.bindBytes(11, k.Token.Hash[:])
	s.bindBytes(12, c.id[:])
	s.bindText(13, k.Owner)
	s.bindText(14, k.MasterKey)
	s.bindText(15, k.ContentType)
	if c.key != nil {
		s.bindInt(16, prefix(c.key.Key[:]))
		s.bindBytes(17, c.key.Key[:])
		s.bindInt(18, int64(life.KeyUntil))
		s.bindBytes(19, c.key.Request[:])
		s.bindBytes(20, c.key.Answer)
	} else {
		for i := 16; i <= 20; i++ {
			s.bindNull(i)
		}
	}
	s.bindBytes(21, k.Notify)
	s.bindBytes(22, k.Record)
	if c.body >= 0 {
		s.bindInt(23, c.body)
		return s.run()
	}
	s.bindNull(23)
	t.putPayload.bindInt(1, int64(k.Token.Number))
	t.putPayload.bindBytes(2, c.payload)
	return errors.Join(s.run(), t.putPayload.run())
}

// undo removes a kubbi whose slot was not written, though its row was.
func (c *creation) undo(t *tx) error {
	if err := t.dropRow(int64(c.k.Token.Number)); err != nil {
		return err
	}
	t.uncreated(&c.k, c.quota)
	return nil
}

// dropRow removes a kubbi's row and what belongs to it in other tables.
func (t *tx) dropRow(number int64) error {
	for _, s := range []*stmt{t.drop, t.dropPayload, t.graceClear} {
		s.bindInt(1, number)
		if err := s.run(); err != nil {
			return err
		}
	}
	return nil
}

func (r *row) byCreateKey(s *stmt, key store.Hash) error {
	s.bindInt(1, prefix(key[:]))
	for {
		ok, err := s.step()
		if err != nil {
			return err
		}
		if !ok {
			return store.ErrNotFound
		}
		err = r.scan(s)
		if r.hasKey && r.key == key {
			s.reset()
			return err
		}
	}
}

// replay is the first answer, if the request is the same. Of a kubbi that was
// wiped since, Secret and Record are gone.
func (t *tx) replay(r *row, key *store.CreateKey) (*store.Replay, error) {
	s := t.keyAnswer
	s.bindInt(1, int64(r.number))
	ok, err := s.step()
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, store.ErrNotFound
	}
	defer s.reset()
	var request store.Hash
	if !s.into(0, request[:]) || request != key.Request {
		return nil, store.ErrKeyReused
	}
	if err := t.unlock(r); err != nil {
		return nil, err
	}
	first := *r
	first.Status = store.Active
	first.Retrievals = 0
	first.First, first.Last, first.Ended = store.Never, store.Never, store.Never
	return &store.Replay{Kubbi: first.kubbi(), Answer: s.bytes(1)}, nil
}

// unlock reads the secret of a row that is not wiped.
func (t *tx) unlock(r *row) error {
	if !r.Sealed {
		return nil
	}
	secret, there, err := t.slots.ReadTaken(r.slot, int64(r.number))
	if err == nil && !there {
		err = fmt.Errorf("%w: the secret of kubbi %s is missing", store.ErrDamaged, r.id)
	}
	r.secret = secret
	return err
}

// forget drops a create key whose grace has ended.
func (t *tx) forget(r *row) error {
	t.forgetKey.bindInt(1, int64(r.number))
	r.hasKey, r.KeyUntil = false, store.Never
	return t.forgetKey.run()
}
