package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"kubbi-mcp/relay/store"
)

// The errors of this backend, matched with errors.Is.
var (
	ErrURL      = errors.New("store URL is not valid: it looks like postgres://user:password@host:5432/database?sslmode=verify-full")
	ErrNoTables = errors.New("data base holds no store")
)

var (
	errLost    = fmt.Errorf("%w: its payload is not complete", store.ErrDamaged)
	errAborted = errors.New("the server rolled back what it was told to commit")
	errStep    = errors.New("no answer in time")
)

// serverError is an error of the server, without the values that it may quote.
type serverError struct{ code, message string }

func (e *serverError) Error() string {
	if e.message == "" {
		return "postgres: SQLSTATE " + e.code
	}
	return fmt.Sprintf("postgres: %s (SQLSTATE %s)", e.message, e.code)
}

// serverErrorOf is the server's error in err, nil if there is none.
func serverErrorOf(err error) *serverError {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return nil
	}
	e := &serverError{code: pg.Code}
	if quotesNothing(pg.Code) {
		e.message = pg.Message
	}
	return e
}

// storeError turns an error of pgx into one without values of callers. The result is
// store.ErrUnavailable if a retry may help. Other errors stay unchanged.
func storeError(err error) error {
	if err == nil || errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrFull) {
		return err
	}
	if e := serverErrorOf(err); e != nil {
		if mayPass(e.code) {
			return fmt.Errorf("%w: %w", store.ErrUnavailable, e)
		}
		return e
	}
	conn, ok := errors.AsType[*pgconn.ConnectError](err)
	switch {
	case ok:
		// Its text contains host, user and data base.
		return fmt.Errorf("%w: connect: %w", store.ErrUnavailable, cause(conn))
	case broken(err):
		return fmt.Errorf("%w: connection lost: %w", store.ErrUnavailable, cause(err))
	}
	return err
}

// cause is the innermost error of the network.
func cause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op
	}
	for _, e := range []error{io.ErrUnexpectedEOF, io.EOF, errStep, context.DeadlineExceeded} {
		if errors.Is(err, e) {
			// Only the text, since the context's error itself would mean that the caller's
			// context has ended.
			return errors.New(e.Error())
		}
	}
	if strings.Contains(err.Error(), "read only connection") { // pgconn has no error value for this
		return errors.New("the server is read only")
	}
	return errors.New("closed")
}

// hasCode reports whether err is an error of the server with that SQLSTATE.
func hasCode(err error, code string) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == code
}

// readOnly reports whether a server refuses to write, as a standby does.
func readOnly(err error) bool { return hasCode(err, "25006") }

// isFull reports whether the server's disk is full.
func isFull(err error) bool { return hasCode(err, "53100") }

// isDuplicate reports whether a unique value is in use.
func isDuplicate(err error) bool { return hasCode(err, "23505") }

// broken reports whether an error means that the connection is lost.
func broken(err error) bool {
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, errStep) || errors.Is(err, errAborted) || pgconn.Timeout(err) || pgconn.SafeToRetry(err) ||
		errors.Is(err, pgx.ErrTxClosed) || strings.Contains(err.Error(), "conn closed")
}

// quotesNothing reports whether a message with that SQLSTATE can't contain a caller's
// value.
func quotesNothing(code string) bool {
	switch code[:min(2, len(code))] {
	case "08", "25", "28", "3D", "40", "42", "53", "55", "57", "58", "XX":
		return true
	}
	return false
}

// mayPass reports whether a SQLSTATE is a temporary failure, or one that an operator can end.
func mayPass(code string) bool {
	switch code {
	case "25006", // read only: a standby, after a failover
		"25P03", // idle in a transaction
		"0A000", // a prepared statement from before a migration
		"26000", // a prepared statement that a pooler has lost
		"XX000": // some failures of its files
		return true
	}
	switch code[:min(2, len(code))] {
	case "08", // connection
		"40", // serialization, deadlock
		"53", // too many connections, disk full, out of memory
		"55", // in use, lock not available
		"57", // shut down, cancelled
		"58": // its files
		return true
	}
	return false
}
