package postgres

import (
	"bytes"
	"context"
	"errors"
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

// unlessThere makes insertKubbi store nothing if number or key is in use.
const unlessThere = " ON CONFLICT DO NOTHING"

// Create stores a kubbi: see store.Store. It reads the payload completely, so that it
// can try again from the start, and so that no slow caller occupies a connection. A
// small kubbi without a quota is one statement, committed with those of other calls (see
// groups).
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
	if r.KeyUntil == store.Never {
		key = nil
	}
	c := &creation{s: s, row: r, key: key, quota: quota, now: at, chunks: pieces{dir: s.tempDir}}
	defer c.chunks.free()
	if err := c.read(ctx, payload); err != nil {
		return nil, err
	}
	if err := c.store(ctx); err != nil {
		return nil, err
	}
	return c.replay, nil
}

// creation is a create.
type creation struct {
	s      *Store
	row    *store.Row
	key    *store.CreateKey // nil: without
	quota  store.Quota
	now    store.Millis
	replay *store.Replay
	seen   seen
	inRow  []byte // the payload, if it is not too long for the row
	chunks pieces // else
}

// sealingRoom is roughly how much longer a small payload gets by sealing.
const sealingRoom = 1 << 10

// read reads the payload.
func (c *creation) read(ctx context.Context, payload io.Reader) error {
	var first bytes.Buffer
	first.Grow(int(min(max(0, c.row.Size)+sealingRoom, store.MaxInRow)) + bytes.MinRead)
	if _, err := first.ReadFrom(io.LimitReader(payload, store.MaxInRow+1)); err != nil {
		return err
	}
	if first.Len() <= store.MaxInRow {
		c.inRow = first.Bytes()
		return nil
	}
	rest := io.MultiReader(&first, payload)
	piece := make([]byte, pieceSize)
	for {
		n, err := io.ReadFull(rest, piece)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return err
		}
		if n > 0 {
			if err := c.chunks.add(piece[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// store stores the kubbi, in a group if it is small and has no quota.
func (c *creation) store(ctx context.Context) error {
	doubt := false
	if c.quota == (store.Quota{}) && c.chunks.n == 0 {
		done := false
		var err error
		doubt, err = c.s.together(ctx, c.row.Number, func(b *pgx.Batch) {
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
	return c.s.runIn(ctx, doubt, func(q *session) error { return c.full(q, c.careful(ctx, q)) })
}

// full makes the error of a full disk store.ErrFull, unless an attempt before may have
// stored the kubbi.
func (c *creation) full(q *session, err error) error {
	if isFull(err) && !q.doubt {
		return fmt.Errorf("%w: the disk of the data base is full: %w", store.ErrFull, serverErrorOf(err))
	}
	return err
}

// attempts is how often a create is tried while others create and remove kubbis with
// its number or key.
const attempts = 10

// careful checks before it stores: what may be there already, and the quota.
func (c *creation) careful(ctx context.Context, q *session) error {
	for range attempts {
		done, err := c.try(ctx, q)
		if done || !isDuplicate(err) {
			return err
		}
		// Another create was faster: look again.
		if err := q.rollback(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: others create and remove the same", store.ErrUnavailable)
}

// try is one attempt of careful. It looks before it sends a large payload, and again
// after that: only then it locks the owner's row for a short time.
func (c *creation) try(ctx context.Context, q *session) (done bool, err error) {
	b := begin()
	if c.chunks.n > 0 {
		if done, err := c.look(ctx, q, b); done || err != nil {
			return done, err
		}
		if err := errors.Join(q.rollback(ctx), q.step(ctx, begin())); err != nil {
			return false, err
		}
		for i := range c.chunks.n {
			piece, err := c.chunks.piece(i)
			if err != nil {
				return false, err
			}
			b := &pgx.Batch{}
			b.Queue("INSERT INTO chunks (kubbi, ordinal, sealed) VALUES ($1, $2, $3)", int64(c.row.Number), i, piece)
			if err := q.step(ctx, b); err != nil {
				return false, err
			}
		}
		b = &pgx.Batch{}
	}
	if done, err := c.look(ctx, q, b); done || err != nil {
		return done, err
	}
	return false, c.put(ctx, q)
}

// seen is what look has found.
type seen struct {
	mine   bool // an attempt before has stored the kubbi
	exists bool // another kubbi has the number
	reused bool // another kubbi has the key, in its grace, of another request
	forget bool // another kubbi must forget the key, whose grace has ended
	replay *store.Replay
}

// look checks whether the kubbi may be stored, by a batch that begins a transaction or
// goes on with one. done means that there is nothing left to store. With a quota it
// leaves the owner's row locked.
func (c *creation) look(ctx context.Context, q *session, b *pgx.Batch) (done bool, err error) {
	c.seen = seen{}
	if c.quota != (store.Quota{}) {
		b.Queue("INSERT INTO owners (name) VALUES ($1) ON CONFLICT (name) DO NOTHING", c.row.Owner)
		b.Queue("SELECT name FROM owners WHERE name = $1 FOR UPDATE", c.row.Owner)
	}
	b.Queue("SELECT "+columns+", key_request, key_answer FROM kubbis WHERE number = $1 OR key = $2", int64(c.row.Number), c.keyBytes()).
		Query(func(rows pgx.Rows) error {
			for rows.Next() {
				var r row
				var request, answer []byte
				if err := r.scan(rows, &request, &answer); err != nil {
					return err
				}
				c.see(&r.Row, q.doubt, request, answer)
			}
			return rows.Err()
		})
	var active, today int64
	if c.quota.Active > 0 {
		b.Queue("SELECT count(*) FROM (SELECT 1 FROM kubbis WHERE owner = $1 AND NOT done AND expires_at > $2 AND status = 0 LIMIT $3) AS a",
			c.row.Owner, millis(c.now), c.quota.Active).QueryRow(func(res pgx.Row) error { return res.Scan(&active) })
	}
	if c.quota.Daily > 0 {
		w := store.DayWindow(c.row.Owner, c.now)
		b.Queue("SELECT coalesce(max(n), 0) FROM uses WHERE ends = $1 AND length = $2 AND bucket = $3", w.Ends, w.Length, w.Bucket[:]).
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

// see looks at a kubbi that has the number or the key.
func (c *creation) see(r *store.Row, doubt bool, request, answer []byte) {
	sameNumber := r.Number == c.row.Number
	sameKey := c.key != nil && r.KeyUntil != store.Never && r.CreateKey == c.key.Key
	switch {
	case doubt && r.ID == c.row.ID && r.Hash == c.row.Hash:
		c.seen.mine = true // nobody else has drawn the same random numbers
	case sameKey && r.KeyUntil > c.now:
		var err error
		c.seen.replay, err = r.Replay(c.key, request, answer)
		c.seen.reused = err != nil
	default:
		c.seen.exists = c.seen.exists || sameNumber
		c.seen.forget = c.seen.forget || sameKey
	}
}

// put stores the kubbi after look, and commits.
func (c *creation) put(ctx context.Context, q *session) error {
	var b pgx.Batch
	if c.seen.forget {
		b.Queue("UPDATE kubbis SET key = NULL, key_until = NULL, key_request = NULL, key_answer = NULL WHERE key = $1 AND key_until <= $2",
			c.key.Key[:], millis(c.now))
	}
	if c.quota.Daily > 0 {
		w := store.DayWindow(c.row.Owner, c.now)
		b.Queue(`INSERT INTO uses AS u (ends, length, bucket, n, taken) VALUES ($1, $2, $3, 1, 1)
			ON CONFLICT (ends, length, bucket) DO UPDATE SET n = u.n + 1`, w.Ends, w.Length, w.Bucket[:])
	}
	c.queue(&b, insertKubbi)
	return q.commit(ctx, &b)
}

// queue queues the kubbi.
func (c *creation) queue(b *pgx.Batch, insert string) *pgx.QueuedQuery {
	r := c.row
	var request, answer []byte
	if c.key != nil {
		request, answer = c.key.Request[:], c.key.Answer
	}
	return b.Queue(insert, int64(r.Number), [16]byte(r.ID), r.Hash[:], r.Owner, r.MasterKey, r.Secret[:], r.ContentType, r.Package, r.FileCount,
		r.Size, c.chunks.n, r.MaxRetrievals, millis(r.Created), millis(r.Expires), millis(r.Due),
		c.keyBytes(), millis(r.KeyUntil), request, answer, r.Record, r.Notify, c.inRow)
}

func (c *creation) keyBytes() []byte {
	if c.key == nil {
		return nil
	}
	return c.key.Key[:]
}

// isFull reports whether the server's disk is full.
func isFull(err error) bool {
	e := serverErrorOf(err)
	return e != nil && e.code == "53100"
}
