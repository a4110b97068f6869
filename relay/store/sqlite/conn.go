package sqlite

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"zombiezen.com/go/sqlite"

	"kubbi-mcp/relay/store"
)

// conn is one connection to the data base, for one goroutine at a time.
type conn struct {
	*sqlite.Conn
	stmts map[string]*stmt // by SQL
}

// engineError is a failure that SQLite reported.
type engineError struct{ err error }

func (e *engineError) Error() string { return e.err.Error() }

func (e *engineError) Unwrap() error { return e.err }

// code is the extended result code.
func (e *engineError) code() sqlite.ResultCode { return sqlite.ErrCode(e.err) }

func engine(err error) error {
	if err == nil {
		return nil
	}
	return &engineError{err}
}

// openConn opens the data base at path. With create it makes a missing file, with the mode of
// the lock file. SQLite must make the file: if a process opens and closes a data base file by
// itself, it loses the locks that SQLite holds on the file.
func openConn(path string, create bool) (*conn, error) {
	useFdatasync()
	flags := sqlite.OpenReadWrite | sqlite.OpenURI
	query := ""
	if create {
		flags |= sqlite.OpenCreate
		query = "modeof=" + escaped(lockPath(path))
	}
	c, err := sqlite.OpenConn(uri(path, query), flags)
	if err != nil {
		return nil, explain(path, engine(err))
	}
	c.SetBusyTimeout(5 * time.Second)
	return &conn{c, map[string]*stmt{}}, nil
}

func (c *conn) close() { _ = c.Close() }

// rows runs a statement and calls do on every row. It prepares each statement once.
func (c *conn) rows(sql string, do func(*stmt), args ...any) error {
	s := c.stmts[sql]
	if s == nil {
		p, err := c.Prepare(sql)
		if err != nil {
			return engine(fmt.Errorf("%w: %s", err, sql))
		}
		s = &stmt{p}
		c.stmts[sql] = s
	}
	s.bind(args)
	for {
		row, err := s.p.Step()
		switch {
		case err != nil:
			return engine(err)
		case !row:
			return engine(s.p.Reset())
		}
		do(s)
	}
}

// exec runs a statement and ignores its rows.
func (c *conn) exec(sql string, args ...any) error { return c.rows(sql, func(*stmt) {}, args...) }

// execAll runs statements without parameters.
func (c *conn) execAll(statements ...string) error {
	for _, sql := range statements {
		if err := c.exec(sql); err != nil {
			return err
		}
	}
	return nil
}

// number runs a statement with one row and returns its integer, or 0 without rows.
func (c *conn) number(sql string, args ...any) (n int64, err error) {
	err = c.rows(sql, func(s *stmt) { n = s.int(0) }, args...)
	return n, err
}

// transaction runs do in a transaction, which an error rolls back.
func (c *conn) transaction(do func() error) error {
	err := c.exec("BEGIN IMMEDIATE")
	if err == nil {
		err = do()
	}
	if err == nil {
		err = c.exec("COMMIT")
	}
	if err != nil && c.inTransaction() {
		err = errors.Join(err, c.exec("ROLLBACK"))
	}
	return err
}

// inTransaction reports whether a transaction is open. After some failures SQLite has ended it
// by itself.
func (c *conn) inTransaction() bool { return !c.AutocommitEnabled() }

// stmt is a prepared statement, and its current row.
type stmt struct{ p *sqlite.Stmt }

// bind sets the parameters. store.Never, a nil []byte and nil are NULL.
func (s *stmt) bind(args []any) {
	for i, v := range args {
		i++
		switch v := v.(type) {
		case int64:
			s.p.BindInt64(i, v)
		case int:
			s.p.BindInt64(i, int64(v))
		case bool:
			s.p.BindBool(i, v)
		case string:
			s.p.BindText(i, v)
		case []byte:
			if v == nil {
				s.p.BindNull(i)
			} else {
				s.p.BindBytes(i, v)
			}
		case store.Number:
			s.p.BindInt64(i, int64(v))
		case store.Millis:
			if v == store.Never {
				s.p.BindNull(i)
			} else {
				s.p.BindInt64(i, int64(v))
			}
		case store.Status:
			s.p.BindInt64(i, int64(v))
		case store.Event:
			s.p.BindInt64(i, int64(v))
		case nil:
			s.p.BindNull(i)
		default:
			// fmt would move the parameters of every call to the heap.
			panic("sqlite: no parameter can be a " + reflect.TypeOf(v).String())
		}
	}
}

func (s *stmt) int(i int) int64 { return s.p.ColumnInt64(i) }

func (s *stmt) null(i int) bool { return s.p.ColumnIsNull(i) }

func (s *stmt) text(i int) string { return s.p.ColumnText(i) }

// time is store.Never for NULL.
func (s *stmt) time(i int) store.Millis {
	v := s.int(i)
	if v == 0 && s.null(i) {
		return store.Never
	}
	return store.Millis(v)
}

// bytes is a copy, nil for NULL.
func (s *stmt) bytes(i int) []byte {
	n := s.p.ColumnLen(i)
	if n == 0 {
		if s.null(i) {
			return nil
		}
		return []byte{}
	}
	b := make([]byte, n)
	s.p.ColumnBytes(i, b)
	return b
}

// into copies a value of a known length, and reports whether it has that length.
func (s *stmt) into(i int, b []byte) bool {
	return s.p.ColumnLen(i) == len(b) && s.p.ColumnBytes(i, b) == len(b)
}

// fatal reports whether an error is a failure of the data base, and not a result such as
// ErrNotFound. After it, the transaction can't be trusted.
func fatal(err error) bool {
	_, is := errors.AsType[*engineError](err)
	return is
}
