package postgres

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"kubbi-mcp/relay/store"
)

// insertKubbi stores a kubbi.
const insertKubbi = `INSERT INTO kubbis (number, id, token, owner, master_key, secret, content_type, package, file_count, size, pieces,
	max_retrievals, created_at, expires_at, due, key, key_until, key_request, key_answer, record, notify, payload,
	status, retrievals, done, grace_more)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, 0, 0, false, false)`

// unlessThere lets insertKubbi store nothing where number or key is in use.
const unlessThere = " ON CONFLICT DO NOTHING"

const insertChunk = "INSERT INTO chunks (kubbi, ordinal, sealed) VALUES ($1, $2, $3)"

// Create stores a kubbi: see store.Store. A small one without a quota is one
// statement, committed with those of others (see groups). The chunks of a large one are sent first, in a
// transaction that locks nothing until the kubbi comes last.
func (s *Store) Create(ctx context.Context, k *store.Kubbi, payload io.Reader, key *store.CreateKey, quota store.Quota, now time.Time) (*store.Replay, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	id, number, err := store.ParseID(k.ID)
	if err != nil {
		return nil, err
	}
	if number != k.Token.Number {
		return nil, store.ErrExists
	}
	if key != nil && key.Grace < time.Millisecond {
		key = nil
	}
	c := &creation{s: s, k: k, id: id, key: key, quota: quota, now: store.MillisOf(now)}
	c.read.from = payload
	if err := c.deliver(ctx); err != nil {
		return nil, err
	}
	return c.replay, nil
}

// creation is a create.
type creation struct {
	s      *Store
	k      *store.Kubbi
	id     [16]byte
	key    *store.CreateKey
	quota  store.Quota
	now    store.Millis
	replay *store.Replay
	seen   seen

	read   pieceReader
	last   []byte   // the last piece
	pieces int      // rows of chunks; 0: last goes into the row
	tx     *session // of a payload of more than a piece: all but the last are sent
}

// pieceSize is how much of a payload is in memory, and in a row of chunks.
const pieceSize = 1 << 20

// pieceReader reads a payload piece by piece.
type pieceReader struct {
	from  io.Reader
	buf   []byte
	ahead bool // buf's last byte belongs to the next piece
	eof   bool
}

// next reads the next piece, of pieceSize unless the payload ends with it. It is
// good until the next call. guess is about how long it will be.
func (r *pieceReader) next(guess int64) ([]byte, error) {
	const most = pieceSize + 1 // a byte more tells whether the payload has ended
	switch {
	case r.ahead:
		r.buf[0] = r.buf[pieceSize]
		r.buf = r.buf[:1]
	case r.buf == nil:
		r.buf = make([]byte, 0, min(max(guess, 512), most))
	}
	for idle := 0; !r.eof && len(r.buf) < most; {
		if len(r.buf) == cap(r.buf) {
			grown := make([]byte, len(r.buf), min(4*cap(r.buf), most))
			copy(grown, r.buf)
			r.buf = grown
		}
		n, err := r.from.Read(r.buf[len(r.buf):cap(r.buf)])
		r.buf = r.buf[:len(r.buf)+n]
		switch {
		case err == io.EOF:
			r.eof = true
		case err != nil:
			return nil, err
		case n > 0:
			idle = 0
		default:
			if idle++; idle == 100 {
				return nil, io.ErrNoProgress
			}
		}
	}
	if r.ahead = len(r.buf) == most; r.ahead {
		return r.buf[:pieceSize], nil
	}
	return r.buf, nil
}

// ended tells whether there is no next piece.
func (r *pieceReader) ended() bool { return r.eof && !r.ahead }

// sealingRoom is about how much longer a small payload gets by sealing.
const sealingRoom = 1 << 10

// deliver reads the payload and stores it.
func (c *creation) deliver(ctx context.Context) (err error) {
	if c.last, err = c.read.next(c.k.Size + sealingRoom); err != nil {
		return err
	}
	if !c.read.ended() {
		return c.large(ctx)
	}
	if len(c.last) > store.MaxInRow {
		c.pieces = 1
	}
	doubt := false
	if c.quota == (store.Quota{}) && c.pieces == 0 {
		done := false
		doubt, err = c.s.together(ctx, c.k.Token.Number, func(b *pgx.Batch) {
			c.queue(b, insertKubbi+unlessThere).Exec(func(tag pgconn.CommandTag) error {
				done = tag.RowsAffected() > 0
				return nil
			})
		})
		switch {
		case err == nil && done:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
	return c.s.runIn(ctx, doubt, func(q *session) error { return c.full(q, c.small(ctx, q)) })
}

// small stores a payload that is all in last.
func (c *creation) small(ctx context.Context, q *session) error {
	if c.quota == (store.Quota{}) && c.pieces > 0 && !q.doubt {
		var b pgx.Batch
		c.queue(&b, insertKubbi)
		if err := q.apply(ctx, &b); !violates(err) {
			return err
		}
	}
	return c.careful(ctx, q)
}

// full makes the error of a full disk store.ErrFull. It is not that where an
// attempt before may have stored the kubbi.
func (c *creation) full(q *session, err error) error {
	if isFull(err) && !q.doubt {
		return fmt.Errorf("%w: the disk of the data base is full: %w", store.ErrFull, serverErrorOf(err))
	}
	return err
}

// attempts is how often a create is tried whose number or key is in use at
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
		if err = c.put(ctx, q); !violates(err) {
			return err
		}
		// Someone was faster: look again.
		if err := q.rollback(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: others create and remove the same", store.ErrUnavailable)
}

// seen is what look has found.
type seen struct {
	mine   bool // what an attempt before has stored
	exists bool
	keyed  bool // another kubbi has the key in its grace
	reused bool // and was another request
	forget bool // another kubbi must forget the key, whose grace has ended
	replay *store.Replay
}

// look adds to a batch, which begins a transaction or goes on with one, what
// tells whether the kubbi may be stored. It is done if that is so already. With
// a quota it leaves the owner's row locked.
func (c *creation) look(ctx context.Context, q *session, b *pgx.Batch) (done bool, err error) {
	c.seen = seen{}
	if c.quota != (store.Quota{}) {
		b.Queue("INSERT INTO owners (name) VALUES ($1) ON CONFLICT (name) DO NOTHING", c.k.Owner)
		b.Queue("SELECT name FROM owners WHERE name = $1 FOR UPDATE", c.k.Owner)
	}
	b.Queue("SELECT "+columns+", key_request, key_answer FROM kubbis WHERE number = $1 OR key = $2", int64(c.k.Token.Number), c.keyBytes()).
		Query(func(rows pgx.Rows) error {
			for rows.Next() {
				var r row
				var request, answer []byte
				if err := r.scan(rows, &request, &answer); err != nil {
					return err
				}
				c.see(&r, q.doubt, request, answer)
			}
			return rows.Err()
		})
	var active, today int64
	if c.quota.Active > 0 {
		b.Queue("SELECT count(*) FROM (SELECT 1 FROM kubbis WHERE owner = $1 AND NOT done AND expires_at > $2 AND status = 0 LIMIT $3) AS a",
			c.k.Owner, when(c.now), c.quota.Active).QueryRow(func(res pgx.Row) error { return res.Scan(&active) })
	}
	if c.quota.Daily > 0 {
		w := c.day()
		b.Queue("SELECT coalesce(max(n), 0) FROM uses WHERE ends = $1 AND length = $2 AND bucket = $3", w.ends, w.length, w.bucket[:]).
			QueryRow(func(res pgx.Row) error { return res.Scan(&today) })
	}
	if err := q.step(ctx, b); err != nil {
		return false, err
	}
	switch {
	case c.seen.mine:
		return true, nil
	case c.seen.keyed && !c.read.ended():
		return false, nil // nobody knows yet which request it is
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

// see looks at a kubbi that has the number or the key.
func (c *creation) see(r *row, doubt bool, request, answer []byte) {
	sameNumber := r.number == c.k.Token.Number
	sameKey := c.key != nil && bytes.Equal(r.key, c.key.Key[:])
	switch {
	case doubt && sameNumber && r.id == c.id && r.has(c.k.Token):
		c.seen.mine = true // nobody else has drawn the same random numbers
	case sameKey && r.KeyUntil > c.now:
		c.seen.keyed = true
		if !bytes.Equal(request, c.key.Request[:]) {
			c.seen.reused = true
			return
		}
		first := *r
		first.Status, first.Retrievals = store.Active, 0
		first.First, first.Last, first.Ended = never, never, never
		c.seen.replay = &store.Replay{Kubbi: first.kubbi(), Answer: answer}
	default:
		c.seen.exists = c.seen.exists || sameNumber
		c.seen.forget = c.seen.forget || sameKey
	}
}

// put stores what look has found room for, and commits.
func (c *creation) put(ctx context.Context, q *session) error {
	var b pgx.Batch
	if c.seen.forget {
		b.Queue("UPDATE kubbis SET key = NULL, key_until = NULL, key_request = NULL, key_answer = NULL WHERE key = $1 AND key_until <= $2",
			c.key.Key[:], when(c.now))
	}
	if c.quota.Daily > 0 {
		w := c.day()
		b.Queue(`INSERT INTO uses AS u (ends, length, bucket, n, taken) VALUES ($1, $2, $3, 1, 1)
			ON CONFLICT (ends, length, bucket) DO UPDATE SET n = u.n + 1`, w.ends, w.length, w.bucket[:])
	}
	c.queue(&b, insertKubbi)
	return q.commit(ctx, &b)
}

// queue queues the last piece and, by a statement, the kubbi.
func (c *creation) queue(b *pgx.Batch, insert string) *pgx.QueuedQuery {
	k := c.k
	life := store.Life{
		Expires: store.MillisOf(k.ExpiresAt), Sealed: true, KeyUntil: never,
		First: never, Last: never, Ended: never,
	}
	var request, answer, inRow []byte
	if c.key != nil {
		life.KeyUntil = c.now.After(c.key.Grace)
		request, answer = c.key.Request[:], c.key.Answer
	}
	if c.pieces == 0 {
		inRow = orEmpty(c.last)
	} else {
		b.Queue(insertChunk, int64(k.Token.Number), c.pieces-1, c.last)
	}
	return b.Queue(insert, int64(k.Token.Number), c.id, k.Token.Hash[:], k.Owner, k.MasterKey, k.Secret[:], k.ContentType, k.Package, k.FileCount,
		k.Size, c.pieces, k.MaxRetrievals, at(k.CreatedAt), when(life.Expires), when(life.Due(never)),
		c.keyBytes(), when(life.KeyUntil), request, answer, k.Record, k.Notify, inRow)
}

func (c *creation) keyBytes() []byte {
	if c.key == nil {
		return nil
	}
	return c.key.Key[:]
}

// isFull tells whether the server's disk is full.
func isFull(err error) bool {
	e := serverErrorOf(err)
	return e != nil && e.code == "53100"
}
