package sqlite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/payload"
)

// heldBytes is how much of a payload is gathered before the writer is asked. A
// larger one is handed over chunk by chunk while its transaction runs.
const heldBytes = store.MaxChunk

// feedPatience is how long the writer, and all who wait for it, wait for the
// next chunk.
const feedPatience = 5 * time.Second

var errNoCounter = errors.New("the table total has no counter")

// creation is a create on its way to the writer.
type creation struct {
	op
	k       store.Kubbi
	id      uuid.UUID
	files   []byte
	key     *store.CreateKey
	quota   store.Quota
	now     int64
	replay  *store.Replay
	held    []held
	buf     []byte // of held
	feed    chan store.Chunk
	fed     chan struct{} // the writer is done with a chunk
	feedErr error         // set before feed is closed
}

// held is a chunk whose bytes are buf[from:to].
type held struct{ part, index, from, to int }

var creations = sync.Pool{New: func() any { return new(creation) }}

// Create stores a kubbi: see store.Store.
func (s *Store) Create(ctx context.Context, k *store.Kubbi, payload store.Chunks, key *store.CreateKey, quota store.Quota, now time.Time) (*store.Replay, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	id, err := store.ParseID(k.ID)
	if err != nil {
		return nil, err
	}
	if key != nil && key.Grace < time.Millisecond {
		key = nil
	}
	c := creations.Get().(*creation)
	*c = creation{k: *k, id: id, key: key, quota: quota, now: ms(now), held: c.held[:0], buf: c.buf[:0]}
	c.k.Metadata = bytes.Clone(k.Metadata)
	c.k.Notify = bytes.Clone(k.Notify)
	c.do = c.create
	if k.Files != nil {
		if c.files, err = json.Marshal(k.Files); err != nil {
			return nil, fmt.Errorf("files of kubbi: %w", err)
		}
	}
	if err := s.deliver(ctx, c, payload); err != nil {
		return nil, err
	}
	replay := c.replay
	creations.Put(c) // only here can nobody but us still hold it
	return replay, nil
}

// deliver gathers the payload and has the writer store it.
func (s *Store) deliver(ctx context.Context, c *creation, chunks store.Chunks) error {
	var order payload.Order
	for chunk, err := range chunks {
		if err == nil {
			err = order.Next(chunk)
		}
		switch {
		case err != nil && c.feed == nil:
			return err
		case err != nil:
			c.feedErr = err
			close(c.feed)
			return s.writer.await(ctx, &c.op)
		case c.feed == nil && len(c.buf)+len(chunk.Sealed) <= heldBytes:
			// Copied, since the payload may reuse its buffer.
			from := len(c.buf)
			c.buf = append(c.buf, chunk.Sealed...)
			c.held = append(c.held, held{chunk.Part, chunk.Index, from, len(c.buf)})
			continue
		case c.feed == nil:
			c.alone = true
			c.feed = make(chan store.Chunk)
			c.fed = make(chan struct{})
			c.bytes = int64(len(c.buf)) + store.MaxChunk
			if err := s.writer.enqueue(ctx, &c.op); err != nil {
				return err
			}
		}
		select {
		case c.feed <- chunk:
			<-c.fed
		case err := <-c.done:
			c.done <- err
			return s.writer.await(ctx, &c.op)
		case <-ctx.Done():
			return s.writer.await(ctx, &c.op)
		}
	}
	if c.feed != nil {
		close(c.feed)
		return s.writer.await(ctx, &c.op)
	}
	if order.Len() == 0 {
		return payload.ErrNone
	}
	c.bytes = int64(len(c.buf))
	return s.writer.submit(ctx, &c.op)
}

// create is the op.
func (c *creation) create(t *tx) error {
	c.replay = nil
	var spent *row // whose key is the same, but has ended
	if taken, err := c.probe(t.taken); err != nil || taken {
		if err != nil {
			return err
		}
		var fresh bool
		if spent, fresh, err = c.collide(t); err != nil || !fresh {
			return err
		}
	}
	if err := t.room(c.k.Owner, c.quota, c.now); err != nil {
		return err
	}
	if spent != nil {
		if err := t.forget(spent); err != nil {
			return err
		}
	}
	seq, err := t.number()
	if err != nil {
		return err
	}
	if err := c.insert(t, seq); err != nil {
		return err
	}
	t.created(&c.k, c.quota)
	n := seq << chunkBits
	for _, h := range c.held {
		if err := insertChunk(t, n, h.part, h.index, c.buf[h.from:h.to]); err != nil {
			return err
		}
		n++
	}
	if c.feed == nil {
		return nil
	}
	return c.eat(t, n)
}

// probe tells whether there may be a kubbi with the id, token or key.
func (c *creation) probe(s *stmt) (bool, error) {
	if err := s.args(0); err != nil {
		return false, err
	}
	s.bindInt(1, prefix(c.k.Token[:]))
	s.bindInt(2, prefix(c.id[:]))
	if c.key != nil {
		s.bindInt(3, prefix(c.key.Key[:]))
	} else {
		s.bindNull(3)
	}
	n, err := s.one(func() error { return nil })
	return n != 0, err
}

// collide looks closer after a probe. It is not fresh if there is a replay;
// else spent is the kubbi, if any, that must forget the key first.
func (c *creation) collide(t *tx) (spent *row, fresh bool, err error) {
	if c.key != nil {
		r := &row{}
		switch err := r.byCreateKey(t.byKey, c.key.Key); {
		case err == nil && r.keyUntil > c.now:
			c.replay, err = r.replay(t.keyAnswer, c.key)
			return nil, false, err
		case err == nil:
			spent = r
		case !errors.Is(err, store.ErrNotFound):
			return nil, false, err
		}
	}
	var r row
	if err := absent(r.byToken(t.byToken, c.k.Token)); err != nil {
		return nil, false, err
	}
	return spent, true, absent(r.byID(t.byID, c.id))
}

// eat inserts the chunks that are handed over.
func (c *creation) eat(t *tx, n int64) error {
	patience := time.NewTimer(feedPatience)
	defer patience.Stop()
	for {
		select {
		case chunk, ok := <-c.feed:
			if !ok {
				return c.feedErr
			}
			err := insertChunk(t, n, chunk.Part, chunk.Index, chunk.Sealed)
			c.fed <- struct{}{}
			if err != nil {
				return err
			}
			n++
			patience.Reset(feedPatience)
		case <-c.ctx.Done():
			return c.ctx.Err()
		case <-patience.C:
			return fmt.Errorf("%w: no chunk of the payload came for %s", store.ErrUnavailable, feedPatience)
		}
	}
}

func insertChunk(t *tx, k int64, part, index int, sealed []byte) error {
	s := t.insertChunk
	if err := s.args(len(sealed)); err != nil {
		return err
	}
	s.bindInt(1, k)
	s.bindInt(2, int64(part))
	s.bindInt(3, int64(index))
	if sealed == nil {
		sealed = []byte{}
	}
	s.bindBytes(4, sealed)
	return s.run()
}

func (c *creation) insert(t *tx, seq int64) error {
	s := t.insert
	k := &c.k
	n := len(k.Token) + len(c.id) + len(k.Owner) + len(k.MasterKey) + len(k.ContentType) + 3 + len(c.files) + len(k.Metadata) + len(k.Notify)
	if c.key != nil {
		n += len(c.key.Key) + len(c.key.Request) + len(c.key.Answer)
	}
	if err := s.args(n); err != nil {
		return err
	}
	due := ms(k.ExpiresAt)
	s.bindInt(1, seq)
	s.bindInt(2, prefix(k.Token[:]))
	s.bindInt(3, prefix(c.id[:]))
	if c.key != nil {
		end := until(c.now, c.key.Grace)
		due = min(due, end)
		s.bindInt(4, prefix(c.key.Key[:]))
		s.bindInt(6, end)
		s.bindBytes(18, c.key.Key[:])
		s.bindBytes(19, c.key.Request[:])
		s.bindBytes(20, c.key.Answer)
	} else {
		for _, i := range []int{4, 6, 18, 19, 20} {
			s.bindNull(i)
		}
	}
	s.bindInt(5, due)
	s.bindInt(7, ms(k.CreatedAt))
	s.bindInt(8, ms(k.ExpiresAt))
	s.bindInt(9, int64(k.MaxRetrievals))
	s.bindInt(10, b2i(k.Package))
	s.bindInt(11, int64(k.FileCount))
	s.bindInt(12, k.Size)
	s.bindBytes(13, k.Token[:])
	s.bindBytes(14, c.id[:])
	s.bindText(15, k.Owner)
	s.bindText(16, k.MasterKey)
	s.bindText(17, k.ContentType)
	s.bindBytes(21, c.files)
	s.bindBytes(22, k.Metadata)
	s.bindInt(23, b2i(c.quota.Active > 0))
	s.bindBytes(24, k.Notify)
	return s.run()
}

func (r *row) byCreateKey(s *stmt, key store.Hash) error {
	return r.find(s, prefix(key[:]), func(r *row) bool { return r.hasKey && r.key == key })
}

// replay is the first answer, if the request is the same. Of a kubbi that was
// wiped since, Files and Metadata are gone.
func (r *row) replay(s *stmt, key *store.CreateKey) (*store.Replay, error) {
	if err := s.args(0); err != nil {
		return nil, err
	}
	s.bindInt(1, r.seq)
	ok, err := s.step()
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, store.ErrNotFound
	}
	defer s.reset()
	if string(s.raw(0)) != string(key.Request[:]) {
		return nil, store.ErrKeyReused
	}
	first := *r
	first.status = store.Active
	first.retrievals = 0
	first.first, first.last, first.ended = never, never, never
	k, err := first.kubbi()
	if err != nil {
		return nil, err
	}
	return &store.Replay{Kubbi: k, Answer: s.bytes(1)}, nil
}

// forget drops a create key whose grace has ended.
func (t *tx) forget(r *row) error {
	if err := t.forgetKey.args(0); err != nil {
		return err
	}
	t.forgetKey.bindInt(1, r.seq)
	if err := t.forgetKey.run(); err != nil {
		return err
	}
	r.hasKey = false
	return nil
}

// absent turns the outcome of a search into that of a wish that it fail.
func absent(err error) error {
	switch {
	case err == nil:
		return store.ErrExists
	case errors.Is(err, store.ErrNotFound):
		return nil
	}
	return err
}

// chunkBits of a chunk's key number the chunks of a payload.
const (
	chunkBits = 20

	_ = uint(1<<chunkBits - payload.MaxChunks)
)
