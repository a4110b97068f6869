package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/payload"
)

const (
	// heldBytes is how much of a payload is gathered before a connection is
	// taken. A larger one is sent in pieces of about flushBytes.
	heldBytes  = store.MaxChunk
	flushBytes = 2 << 20
)

// insertKubbi stores a kubbi and chunks of it, the last ones, in one statement.
// It stores nothing, and gives 0 rows, if the owner has no row: a number from
// kubbi_seq is drawn only under a lock on that row.
const insertKubbi = `WITH o AS (SELECT name FROM owner WHERE name = $2 FOR KEY SHARE),
	k AS (INSERT INTO kubbi (id, seq, owner, token, master_key, content_type, package, file_count, size, pieces, max_retrievals,
		created_at, expires_at, due, key, key_until, key_request, key_answer, files, metadata, notify,
		status, sealed, retrievals, grace_more)
		SELECT $1::uuid, nextval('kubbi_seq'), o.name, $3::bytea, $4::text, $5::text, $6::boolean, $7::integer, $8::bigint, $9::integer, $10::integer,
		$11::bigint, $12::bigint, $13::bigint, $14::bytea, $15::bigint, $16::bytea, $17::bytea, $18::bytea, $19::bytea, $20::bytea,
		0, true, 0, false FROM o RETURNING id)
	INSERT INTO chunk (kubbi, ordinal, part, idx, sealed)
	SELECT k.id, c.ordinal, c.part, c.idx, c.sealed
	FROM k, unnest($21::integer[], $22::integer[], $23::integer[], $24::bytea[]) AS c (ordinal, part, idx, sealed)`

const insertChunks = `INSERT INTO chunk (kubbi, ordinal, part, idx, sealed)
	SELECT $1::uuid, c.ordinal, c.part, c.idx, c.sealed
	FROM unnest($2::integer[], $3::integer[], $4::integer[], $5::bytea[]) AS c (ordinal, part, idx, sealed)`

var errNoOwner = errors.New("owner has no row")

// Create stores a kubbi: see store.Store. One of up to 1 MiB and without a
// quota is one statement: a single round trip. Of a larger one the chunks are
// sent first, in a transaction that locks nothing until the kubbi comes last.
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
	c := &creation{s: s, k: k, id: id, key: key, quota: quota, now: ms(now)}
	if k.Files != nil {
		if c.files, err = json.Marshal(k.Files); err != nil {
			return nil, fmt.Errorf("files of kubbi: %w", err)
		}
	}
	if err := c.deliver(ctx, payload); err != nil {
		return nil, err
	}
	return c.replay, nil
}

// creation is a create.
type creation struct {
	s      *Store
	k      *store.Kubbi
	id     [16]byte
	files  []byte
	key    *store.CreateKey
	quota  store.Quota
	now    when
	replay *store.Replay
	seen   seen
	locked bool // the owner's row

	held pieces
	n    int      // chunks so far
	tx   *session // of a large payload: some of its chunks are sent
}

// pieces are chunks as columns, which is how they are sent.
type pieces struct {
	ordinal, part, index []int32
	sealed               [][]byte
	buf                  []byte // behind sealed
}

func (p *pieces) add(ordinal int, c store.Chunk) {
	p.ordinal = append(p.ordinal, int32(ordinal))
	p.part = append(p.part, int32(c.Part))
	p.index = append(p.index, int32(c.Index))
	// Copied, since the payload may reuse its buffer. When buf moves, what
	// sealed has of the old one stays as it is.
	from := len(p.buf)
	p.buf = append(p.buf, c.Sealed...)
	p.sealed = append(p.sealed, orEmpty(p.buf[from:len(p.buf):len(p.buf)]))
}

func (p *pieces) reset() {
	*p = pieces{p.ordinal[:0], p.part[:0], p.index[:0], p.sealed[:0], p.buf[:0]}
}

// deliver reads the payload and stores it.
func (c *creation) deliver(ctx context.Context, chunks store.Chunks) error {
	defer func() {
		if c.tx != nil {
			c.tx.release(ctx)
		}
	}()
	var order payload.Order
	for chunk, err := range chunks {
		if err == nil {
			err = order.Next(chunk)
		}
		if err != nil {
			return err
		}
		limit := heldBytes
		if c.tx != nil {
			limit = flushBytes
		}
		if len(c.held.buf)+len(chunk.Sealed) > limit {
			if done, err := c.flush(ctx); err != nil || done {
				return err
			}
		}
		c.held.add(c.n, chunk)
		c.n++
	}
	switch {
	case c.n == 0:
		return payload.ErrNone
	case c.tx == nil:
		return c.s.run(ctx, func(q *session) error { return c.small(ctx, q) })
	}
	return c.finish(ctx)
}

// small stores a payload that is all in held.
func (c *creation) small(ctx context.Context, q *session) error {
	if c.quota == (store.Quota{}) && !q.doubt {
		switch err := c.insert(ctx, q); {
		case err == nil:
			return nil
		case errors.Is(err, errNoOwner):
			if err := c.addOwner(ctx, q); err != nil {
				return err
			}
		case !violates(err):
			return err
		}
	}
	return c.careful(ctx, q)
}

// insert stores the kubbi in a transaction of its own.
func (c *creation) insert(ctx context.Context, q *session) error {
	var b pgx.Batch
	var n int64
	c.queue(&b, &n)
	if err := q.apply(ctx, &b); err != nil {
		return err
	}
	if n == 0 {
		return errNoOwner
	}
	return nil
}

func (c *creation) addOwner(ctx context.Context, q *session) error {
	var b pgx.Batch
	b.Queue("INSERT INTO owner (name) VALUES ($1) ON CONFLICT (name) DO NOTHING", c.k.Owner)
	return q.apply(ctx, &b)
}

// attempts is how often a create is tried whose id, token or key is in use at
// one moment and free at the next.
const attempts = 10

// careful looks before it stores: for what may be there already, and for room
// in the quota.
func (c *creation) careful(ctx context.Context, q *session) error {
	for range attempts {
		done, err := c.look(ctx, q, begin())
		if done || err != nil {
			return err
		}
		err = c.put(ctx, q)
		if err == nil {
			return nil
		}
		if !errors.Is(err, errNoOwner) && !violates(err) {
			return err
		}
		// Someone was faster, or the owner is new: look again.
		if rerr := q.rollback(ctx); rerr != nil {
			return rerr
		}
		if errors.Is(err, errNoOwner) {
			if err := c.addOwner(ctx, q); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("%w: others create and remove the same", store.ErrUnavailable)
}

// seen is what look has found.
type seen struct {
	mine   bool // what an attempt before has stored
	exists bool
	reused bool
	forget bool // another kubbi must forget the key, whose grace has ended
	replay *store.Replay
}

// look adds to a batch, which begins a transaction or goes on with one, what
// tells whether the kubbi may be stored. It is done if that is so already. With
// a quota it leaves the owner's row locked.
func (c *creation) look(ctx context.Context, q *session, b *pgx.Batch) (done bool, err error) {
	c.seen, c.locked = seen{}, false
	if c.quota != (store.Quota{}) {
		b.Queue("SELECT name FROM owner WHERE name = $1 FOR UPDATE", c.k.Owner).QueryRow(func(res pgx.Row) error {
			var name string
			err := res.Scan(&name)
			c.locked = err == nil
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			return err
		})
	}
	b.Queue("SELECT "+columns+", key_request, key_answer FROM kubbi WHERE id = $1 OR token = $2 OR key = $3", c.id, c.k.Token[:], c.keyBytes()).
		Query(func(rows pgx.Rows) error {
			for rows.Next() {
				var r row
				var request, answer []byte
				if err := rows.Scan(r.fields(&request, &answer)...); err != nil {
					return err
				}
				if err := c.see(&r, q.doubt, request, answer); err != nil {
					return err
				}
			}
			return rows.Err()
		})
	var active, today int64
	if c.quota.Active > 0 {
		b.Queue("SELECT count(*) FROM (SELECT 1 FROM kubbi WHERE owner = $1 AND status = 0 AND expires_at > $2 LIMIT $3) AS a",
			c.k.Owner, c.now, c.quota.Active).QueryRow(func(res pgx.Row) error { return res.Scan(&active) })
	}
	if c.quota.Daily > 0 {
		w := c.day()
		b.Queue("SELECT coalesce(max(n), 0) FROM used WHERE ends = $1 AND length = $2 AND bucket = $3", w.ends, w.length, w.bucket[:]).
			QueryRow(func(res pgx.Row) error { return res.Scan(&today) })
	}
	if err := q.step(ctx, b); err != nil {
		return false, err
	}
	switch {
	case c.seen.mine:
		return true, nil
	case c.seen.replay != nil:
		c.replay = c.seen.replay
		return true, nil
	case c.seen.reused:
		return false, store.ErrKeyReused
	case c.seen.exists:
		return false, store.ErrExists
	case c.quota.Active > 0 && active >= int64(c.quota.Active):
		return false, store.ErrActiveQuota
	case c.quota.Daily > 0 && today >= int64(c.quota.Daily):
		return false, store.ErrDailyQuota
	}
	return false, nil
}

// see looks at a kubbi that has the id, the token or the key.
func (c *creation) see(r *row, doubt bool, request, answer []byte) error {
	sameID, sameToken := r.id == c.id, bytes.Equal(r.token, c.k.Token[:])
	switch {
	case doubt && sameID && sameToken:
		c.seen.mine = true // nobody else has drawn the same random numbers
		return nil
	case c.key != nil && bytes.Equal(r.key, c.key.Key[:]) && r.keyUntil > c.now:
		if !bytes.Equal(request, c.key.Request[:]) {
			c.seen.reused = true
			return nil
		}
		first := *r
		first.status = store.Active
		first.retrievals = 0
		first.first, first.last, first.ended = never, never, never
		k, err := first.kubbi()
		c.seen.replay = &store.Replay{Kubbi: k, Answer: answer}
		return err
	}
	c.seen.exists = c.seen.exists || sameID || sameToken
	c.seen.forget = c.seen.forget || c.key != nil && bytes.Equal(r.key, c.key.Key[:])
	return nil
}

// put stores what look has found room for, and commits.
func (c *creation) put(ctx context.Context, q *session) error {
	if c.quota != (store.Quota{}) && !c.locked {
		return errNoOwner
	}
	var b pgx.Batch
	if c.seen.forget {
		b.Queue("UPDATE kubbi SET key = NULL, key_until = NULL, key_request = NULL, key_answer = NULL WHERE key = $1 AND key_until <= $2",
			c.key.Key[:], c.now)
	}
	if c.quota.Daily > 0 {
		w := c.day()
		b.Queue(`INSERT INTO used AS u (ends, length, bucket, n, taken) VALUES ($1, $2, $3, 1, 1)
			ON CONFLICT (ends, length, bucket) DO UPDATE SET n = u.n + 1`, w.ends, w.length, w.bucket[:])
	}
	var n int64
	c.queue(&b, &n)
	if c.locked {
		return q.commit(ctx, &b) // the owner has a row, so that the kubbi is stored
	}
	if err := q.step(ctx, &b); err != nil {
		return err
	}
	if n == 0 {
		return errNoOwner
	}
	return q.commit(ctx, &pgx.Batch{})
}

// queue queues insertKubbi with what is held. n is how many chunks it stored.
func (c *creation) queue(b *pgx.Batch, n *int64) {
	k := c.k
	due, keyUntil := ms(k.ExpiresAt), never
	var request, answer []byte
	if c.key != nil {
		keyUntil = c.now + when(c.key.Grace.Milliseconds())
		due = min(due, keyUntil)
		request, answer = c.key.Request[:], c.key.Answer
	}
	b.Queue(insertKubbi, c.id, k.Owner, k.Token[:], k.MasterKey, k.ContentType, k.Package, k.FileCount, k.Size, c.n, k.MaxRetrievals,
		ms(k.CreatedAt), ms(k.ExpiresAt), due, c.keyBytes(), keyUntil, request, answer, c.files, k.Metadata, k.Notify,
		c.held.ordinal, c.held.part, c.held.index, c.held.sealed).Exec(func(tag pgconn.CommandTag) error {
		*n = tag.RowsAffected()
		return nil
	})
}

func (c *creation) keyBytes() []byte {
	if c.key == nil {
		return nil
	}
	return c.key.Key[:]
}
