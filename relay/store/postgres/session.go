package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"kubbi-mcp/relay/store"
)

const (
	// retryFor is how long a call is retried.
	retryFor   = 5 * time.Second
	firstPause = 10 * time.Millisecond
	maxPause   = 500 * time.Millisecond
)

// session is a call on a connection.
type session struct {
	conn    *pgxpool.Conn
	unknown bool // it is unknown whether the last transaction was committed
	doubt   bool // an earlier attempt of this call may have been committed
}

// final marks an error after which a call must not be retried.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// run makes a whole call of the Store with do.
func (s *Store) run(ctx context.Context, do func(*session) error) error {
	if err := s.calls.Enter(ctx); err != nil {
		return err
	}
	defer s.calls.Leave()
	return s.retry(ctx, retryFor, false, do)
}

// retry retries do while the data base is unavailable, for as long as patience. So do must
// handle the case that an earlier attempt was committed. doubt says that this may already be
// the case at the first attempt.
func (s *Store) retry(ctx context.Context, patience time.Duration, doubt bool, do func(*session) error) error {
	end := time.Now().Add(patience)
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		unknown, err := s.attempt(ctx, doubt, do)
		if unknown && !doubt { // the next attempts must find out, even if this one took long
			end = time.Now().Add(patience)
		}
		doubt = doubt || unknown
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if last, ok := errors.AsType[final](err); ok {
			return storeError(last.error)
		}
		err = storeError(err)
		if !errors.Is(err, store.ErrUnavailable) || time.Now().Add(pause).After(end) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// attempt runs do once on a connection from the pool.
func (s *Store) attempt(ctx context.Context, doubt bool, do func(*session) error) (unknown bool, err error) {
	q, err := s.acquire(ctx)
	if err != nil {
		return false, err
	}
	defer q.release(ctx)
	q.doubt = doubt
	err = do(q)
	if readOnly(err) {
		s.pool.Reset() // all connections may lead to a server that is a standby now
	}
	return q.unknown, err
}

func (s *Store) acquire(ctx context.Context) (*session, error) {
	wait, cancel := context.WithTimeoutCause(ctx, connPatience, errStep)
	defer cancel()
	conn, err := s.pool.Acquire(wait)
	if err != nil {
		if wait.Err() != nil && ctx.Err() == nil {
			return nil, fmt.Errorf("%w: no connection in time", store.ErrUnavailable)
		}
		return nil, storeError(err)
	}
	return &session{conn: conn}, nil
}

// release ends an open transaction and returns the connection to the pool.
func (q *session) release(ctx context.Context) {
	c := q.conn.Conn().PgConn()
	if !c.IsClosed() && c.TxStatus() != 'I' {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_, _ = q.conn.Exec(end, "ROLLBACK") // if it fails the pool closes the connection
	}
	q.conn.Release()
}

// step sends statements in one round trip. They must change nothing before a later commit.
func (q *session) step(ctx context.Context, b *pgx.Batch) error {
	wait, cancel := context.WithTimeoutCause(ctx, stepPatience, errStep)
	defer cancel()
	err := q.conn.SendBatch(wait, b).Close()
	if err != nil && wait.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, errStep)
	}
	return err
}

// apply sends statements in one round trip, as a transaction of their own.
func (q *session) apply(ctx context.Context, b *pgx.Batch) error {
	q.unknown = true
	err := q.step(ctx, b)
	q.unknown = !settled(err)
	return err
}

// commit sends statements and the commit of the transaction in one round trip.
func (q *session) commit(ctx context.Context, b *pgx.Batch) error {
	committed := false
	b.Queue("COMMIT").Exec(func(tag pgconn.CommandTag) error {
		committed = tag.String() == "COMMIT"
		return nil
	})
	err := q.apply(ctx, b)
	switch {
	case committed:
		q.unknown = false
		return nil // even if the connection was lost after that
	case err != nil:
		return err
	}
	return errAborted
}

// rollback ends a transaction, also one that has failed.
func (q *session) rollback(ctx context.Context) error {
	var b pgx.Batch
	b.Queue("ROLLBACK")
	return q.step(ctx, &b)
}

// settled reports whether the outcome is known: it succeeded, the server reported a failure,
// or nothing was sent.
func settled(err error) bool {
	if err == nil || pgconn.SafeToRetry(err) {
		return true
	}
	// An error that ends the connection (FATAL) may come after the commit.
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pg.SeverityUnlocalized == "ERROR" || pg.Severity == "ERROR") && pg.Code != "40003" // which means unknown
}

// begin starts the statements of a transaction.
func begin() *pgx.Batch {
	b := &pgx.Batch{}
	b.Queue("BEGIN")
	return b
}
