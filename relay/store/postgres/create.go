package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"

	"kubbi-mcp/internal/spool"
	"kubbi-mcp/relay/store"
)

const insertKubbi = `INSERT INTO kubbis (number, id, token, owner, master_key, secret, content_type, package, file_count, size, pieces,
	max_retrievals, created_at, expires_at, due, key, key_until, key_request, key_answer, record, notify, payload,
	status, retrievals, done, grace_more)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, 0, 0, false, false)`

// unlessThere makes insertKubbi do nothing if the number or key is in use.
const unlessThere = " ON CONFLICT DO NOTHING"

// Create stores a kubbi: see store.Store. It first reads the payload completely, so that it
// can retry from the start, and so that a slow caller does not occupy a connection. A small
// kubbi without a quota needs one statement, which is committed together with those of other
// calls (see groups).
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
	c := &creation{s: s, row: r, key: key, quota: quota, now: at}
	if c.inRow, c.large, err = readPayload(ctx, payload, k.Size, s.tempDir); err != nil {
		return nil, err
	}
	if c.large != nil {
		defer c.large.Close()
		c.pieces = int((c.large.Len() + pieceSize - 1) / pieceSize)
	}
	if err := c.store(ctx); err != nil {
		return nil, err
	}
	return c.replay, nil
}

// creation is a running Create.
type creation struct {
	s      *Store
	row    store.Row
	key    *store.CreateKey // nil: there is none
	quota  store.Quota
	now    store.Millis
	replay *store.Replay
	seen   seen
	inRow  []byte       // the payload, if it fits into the row
	large  *spool.Spool // the payload otherwise
	pieces int          // of large
}

// store stores the kubbi, in a group if it is small and has no quota.
func (c *creation) store(ctx context.Context) error {
	alone := func(q *session) error { return c.fullDiskError(q, c.storeAlone(ctx, q)) }
	if c.quota != (store.Quota{}) || c.pieces > 0 {
		return c.s.retry(ctx, retryFor, false, alone)
	}
	return c.s.runInGroup(ctx, &job{number: c.row.Number, queue: func(b *pgx.Batch, whole *bool) {
		c.queue(b, insertKubbi+unlessThere).Exec(changes(whole))
	}}, alone)
}

// fullDiskError turns the error of a full disk into store.ErrFull, unless an earlier attempt
// may have stored the kubbi.
func (c *creation) fullDiskError(q *session, err error) error {
	if isFull(err) && !q.doubt {
		return fmt.Errorf("%w: the disk of the data base is full: %w", store.ErrFull, serverErrorOf(err))
	}
	return err
}

// attempts is how often a create is tried while other calls create and remove kubbis with the
// same number or key.
const attempts = 10

// storeAlone stores the kubbi in a transaction of its own, after checks for conflicts and the
// quota.
func (c *creation) storeAlone(ctx context.Context, q *session) error {
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

// try is one attempt of storeAlone. With a large payload it checks twice: before it sends the
// payload, and again after that, so that the owner's row is locked only for a short time.
func (c *creation) try(ctx context.Context, q *session) (done bool, err error) {
	b := begin()
	if c.pieces > 0 {
		if done, err := c.check(ctx, q, b); done || err != nil {
			return done, err
		}
		if err := errors.Join(q.rollback(ctx), q.step(ctx, begin())); err != nil {
			return false, err
		}
		piece := make([]byte, pieceSize)
		for i := range c.pieces {
			n, err := c.large.ReadAt(piece, int64(i)*pieceSize)
			if err != nil && err != io.EOF {
				return false, unavailable(err)
			}
			b := &pgx.Batch{}
			b.Queue("INSERT INTO chunks (kubbi, ordinal, sealed) VALUES ($1, $2, $3)", int64(c.row.Number), i, piece[:n])
			if err := q.step(ctx, b); err != nil {
				return false, err
			}
		}
		b = &pgx.Batch{}
	}
	if done, err := c.check(ctx, q, b); done || err != nil {
		return done, err
	}
	return false, c.insert(ctx, q)
}

// seen is the result of check.
type seen struct {
	mine   bool // an earlier attempt has stored the kubbi
	exists bool // another kubbi has the number
	reused bool // the key was used for another request, and its grace is open
	forget bool // another kubbi still has the key, but its grace has ended
	replay *store.Replay
}

// check finds out whether the kubbi may be stored. It adds its queries to b, which begins or
// continues a transaction. done means that nothing needs to be stored. If there is a quota,
// the owner's row stays locked.
func (c *creation) check(ctx context.Context, q *session, b *pgx.Batch) (done bool, err error) {
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
				c.checkRow(&r.Row, q.doubt, request, answer)
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

// checkRow checks a kubbi that has the same number or key.
func (c *creation) checkRow(r *store.Row, doubt bool, request, answer []byte) {
	sameNumber := r.Number == c.row.Number
	sameKey := c.key != nil && r.KeyUntil != store.Never && r.CreateKey == c.key.Key
	switch {
	case doubt && r.ID == c.row.ID && r.Hash == c.row.Hash && r.Secret == c.row.Secret:
		// No other create has the same random secret. Two answers to a request have the same
		// id and token.
		c.seen.mine = true
	case sameKey && r.KeyUntil > c.now:
		var err error
		c.seen.replay, err = r.Replay(c.key, request, answer)
		c.seen.reused = err != nil
	default:
		c.seen.exists = c.seen.exists || sameNumber
		c.seen.forget = c.seen.forget || sameKey
	}
}

// insert stores the kubbi after check, and commits.
func (c *creation) insert(ctx context.Context, q *session) error {
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

// queue adds the insert of the kubbi to a batch.
func (c *creation) queue(b *pgx.Batch, insert string) *pgx.QueuedQuery {
	r := &c.row
	var request, answer []byte
	if c.key != nil {
		request, answer = c.key.Request[:], c.key.Answer
	}
	return b.Queue(insert, int64(r.Number), [16]byte(r.ID), r.Hash[:], r.Owner, r.MasterKey, r.Secret[:], r.ContentType, r.Package, r.FileCount,
		r.Size, c.pieces, r.MaxRetrievals, millis(r.Created), millis(r.Expires), millis(r.Due),
		c.keyBytes(), millis(r.KeyUntil), request, answer, r.Record, r.Notify, c.inRow)
}

func (c *creation) keyBytes() []byte {
	if c.key == nil {
		return nil
	}
	return c.key.Key[:]
}
