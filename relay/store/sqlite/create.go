package sqlite

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"kubbi-mcp/relay/store"
)

// creation is the op of Create.
type creation struct {
	op
	row     row
	key     *store.CreateKey // nil: there is none
	quota   store.Quota
	now     store.Millis
	replay  *store.Replay
	payload []byte // unless it is in a file
	hasFile bool   // another create has, or had, the file of this number
}

var creations = sync.Pool{New: func() any { return new(creation) }}

// Create stores a kubbi: see store.Store.
func (s *Store) Create(ctx context.Context, k *store.Kubbi, payload io.Reader, key *store.CreateKey, quota store.Quota, now time.Time) (*store.Replay, error) {
	if err := s.calls.Enter(ctx); err != nil {
		return nil, err
	}
	defer s.calls.Leave()
	at := store.MillisOf(now)
	r, err := store.NewRow(k, key, at)
	if err != nil {
		return nil, err
	}
	if err := s.reserve.allow(int64(len(k.Record))); err != nil {
		return nil, err
	}
	c := creations.Get().(*creation)
	*c = creation{row: row{Row: r, body: -1, quota: quota.Active > 0}, quota: quota, now: at, payload: c.payload[:0]}
	file, err := s.readPayload(ctx, c, payload)
	if err != nil {
		return nil, err
	}
	// The op may still run after its caller has been cancelled.
	c.row.Record, c.row.Notify = bytes.Clone(k.Record), bytes.Clone(k.Notify)
	if r.KeyUntil != store.Never {
		c.key = &store.CreateKey{Key: key.Key, Request: key.Request, Answer: bytes.Clone(key.Answer)}
	}
	c.do = c.create
	c.bytes = int64(len(c.payload))
	err = s.writer.submit(ctx, &c.op)
	if file != nil {
		// If the context has ended, the row may still be committed. A sweep will find out.
		keep := err == nil && c.replay == nil || ctx.Err() != nil
		if ferr := s.endFile(file, keep); err == nil && keep {
			err = ferr
		}
	}
	if err != nil {
		return nil, err
	}
	replay := c.replay
	creations.Put(c) // only here nothing else can refer to it
	return replay, nil
}

// create runs in the writer's transaction.
func (c *creation) create(t *tx) error {
	c.replay = nil
	r := &c.row
	spent, err := c.checkConflict(t)
	switch {
	case err != nil || c.replay != nil:
		return err
	case c.hasFile:
		return fmt.Errorf("%w, %w: the payload of another create has the number", store.ErrExists, store.ErrUnavailable)
	}
	slot, err := t.slots.Allocate(int64(r.Number), (*[32]byte)(&r.Secret))
	if err != nil {
		return err
	}
	if err := t.checkQuota(r.Owner, c.quota, c.now); err != nil {
		t.slots.Unallocate()
		return err
	}
	if spent != nil {
		if err := t.exec(forgetKey, spent.Number); err != nil {
			return err
		}
	}
	r.slot = slot
	if err := c.insert(t); err != nil {
		return err
	}
	t.totals.count(r, 1)
	t.creates = append(t.creates, c)
	return nil
}

// checkConflict looks for the number and the key in the store. It sets the replay, or returns the
// row, if any, whose create key must be forgotten.
func (c *creation) checkConflict(t *tx) (spent *row, err error) {
	inUse, err := t.number("SELECT EXISTS (SELECT 1 FROM kubbi WHERE number = ?) OR EXISTS (SELECT 1 FROM kubbi INDEXED BY kubbi_key WHERE key_h = ?)",
		c.row.Number, c.keyPrefix())
	if err != nil || inUse == 0 {
		return nil, err
	}
	if c.key != nil {
		r := &row{}
		switch err := r.find(t.conn, "SELECT "+columns+" FROM kubbi INDEXED BY kubbi_key WHERE key_h = ? AND key = ?", c.keyPrefix(), c.key.Key[:]); {
		case err == nil && r.KeyUntil > c.now:
			c.replay, err = t.replay(r, c.key)
			return nil, err
		case err == nil:
			spent = r
		case !errors.Is(err, store.ErrNotFound):
			return nil, err
		}
	}
	switch err := new(row).byNumber(t.conn, c.row.Number); {
	case errors.Is(err, store.ErrNotFound):
		return spent, nil
	case err == nil || errors.Is(err, store.ErrDamaged):
		return nil, store.ErrExists
	default:
		return nil, err
	}
}

// keyPrefix is the value of the column key_h: the first 8 bytes of the key, NULL without one.
func (c *creation) keyPrefix() any {
	if c.key == nil {
		return nil
	}
	return int64(binary.BigEndian.Uint64(c.key.Key[:]))
}

func (c *creation) insert(t *tx) error {
	r := &c.row
	var size any
	var key, request, answer []byte
	if c.key != nil {
		key, request, answer = c.key.Key[:], c.key.Request[:], c.key.Answer
	}
	if r.body >= 0 {
		size = r.body
	}
	err := t.exec(`INSERT INTO kubbi (number, due, status, slot, retrievals, grace_more, created_at, expires_at, max_retrievals, package,
		file_count, size, quota, hash, id, owner, master_key, content_type, key_h, key, key_until, key_request, key_answer,
		notify, record, body)
		VALUES (?, ?, 0, ?, 0, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.Number, r.Due, r.slot, r.Created, r.Expires, r.MaxRetrievals, r.Package, r.FileCount, r.Size, r.quota,
		r.Hash[:], r.ID[:], r.Owner, r.MasterKey, r.ContentType, c.keyPrefix(), key, r.KeyUntil, request, answer, r.Notify, r.Record, size)
	if err != nil || r.body >= 0 {
		return err
	}
	return t.exec("INSERT OR REPLACE INTO payload (number, sealed) VALUES (?, ?)", r.Number, c.payload)
}

// forgetKey forgets a create key.
const forgetKey = "UPDATE kubbi SET key_h = NULL, key = NULL, key_until = NULL, key_request = NULL, key_answer = NULL WHERE number = ?"

// replay gives the first answer if the request is the same.
func (t *tx) replay(r *row, key *store.CreateKey) (*store.Replay, error) {
	if err := t.loadSecret(r); err != nil {
		return nil, err
	}
	var request, answer []byte
	if err := t.rows("SELECT key_request, key_answer FROM kubbi WHERE number = ?",
		func(s *stmt) { request, answer = s.bytes(0), s.bytes(1) }, r.Number); err != nil {
		return nil, err
	}
	return r.Replay(key, request, answer)
}
