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
	// retryFor is how long a call is tried again.
	retryFor   = 5 * time.Second
	firstPause = 10 * time.Millisecond
	maxPause   = 500 * time.Millisecond
)

// session is a call on a connection.
type session struct {
	conn    *pgxpool.Conn
	unknown bool // nobody knows whether what was sent last was committed
	doubt   bool // an attempt of this call before may have been committed
}

// final marks an error after which a call must not be made again.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// run makes a call that is one run of do.
func (s *Store) run(ctx context.Context, do func(*session) error) error {
	if err := s.calls.Enter(ctx); err != nil {
		return err
	}
	defer s.calls.Leave()
	return s.runIn(ctx, false, do)
}

// runIn is for a part of a call. It runs do again and again while the data base is in
// trouble: do must cope with an attempt before it that may have been committed. doubt
// says that there may have been one before the first run.
func (s *Store) runIn(ctx context.Context, doubt bool, do func(*session) error) error {
	return s.runFor(ctx, retryFor, doubt, do)
}

func (s *Store) runFor(ctx context.Context, patience time.Duration, doubt bool, do func(*session) error) error {
	end := time.Now().Add(patience)
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		unknown, err := s.attempt(ctx, doubt, do)
		if unknown && !doubt { // the next attempts must find out, however long this one took
			end = time.Now().Add(patience)
		}
		doubt = doubt || unknown
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var last final
		if errors.As(err, &last) {
			return explain(last.error)
		}
		err = explain(err)
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
		return nil, explain(err)
	}
	return &session{conn: conn}, nil
}

// release gives the connection back, in no transaction.
func (q *session) release(ctx context.Context) {
	c := q.conn.Conn().PgConn()
	if !c.IsClosed() && c.TxStatus() != 'I' {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_, _ = q.conn.Exec(end, "ROLLBACK") // if it fails the pool closes the connection
	}
	q.conn.Release()
}

// step sends statements, in one round trip, that change nothing before a
// later commit.
func (q *session) step(ctx context.Context, b *pgx.Batch) error {
	wait, cancel := context.WithTimeoutCause(ctx, stepPatience, errStep)
	defer cancel()
	err := q.conn.SendBatch(wait, b).Close()
	if err != nil && wait.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, errStep)
	}
	return err
}

// apply sends statements, in one round trip, as a transaction of their own.
func (q *session) apply(ctx context.Context, b *pgx.Batch) error {
	q.unknown = true
	err := q.step(ctx, b)
	q.unknown = !settled(err)
	return err
}

// commit is step and the end of the transaction.
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
		return nil // even if the connection was lost since
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

// settled reports whether the outcome is known: success, or the server has said that
// it failed, or nothing was sent.
func settled(err error) bool {
	var pg *pgconn.PgError
	switch {
	case err == nil, pgconn.SafeToRetry(err):
		return true
	case errors.As(err, &pg):
		// An error that ends the connection (FATAL) may come after the commit.
		return (pg.SeverityUnlocalized == "ERROR" || pg.Severity == "ERROR") && pg.Code != "40003" // which means unknown
	}
	return false
}

// begin starts the statements of a transaction.
func begin() *pgx.Batch {
	b := &pgx.Batch{}
	b.Queue("BEGIN")
	return b
}
