package sqlite

import (
	"errors"
	"fmt"
	"sync"
	"time"

	modernc "modernc.org/sqlite"
	"zombiezen.com/go/sqlite"

	"kubbi-mcp/relay/store"
)

// conn is one connection to the data base, for one goroutine at a time.
type conn struct{ *sqlite.Conn }

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

// fdatasync is as durable as fsync here and spares the file system a journal
// write for the times of a file; where there is none, fsync stays.
var fdatasync = sync.OnceFunc(func() { _, _ = modernc.Fdatasync(true) })

// openConn opens the file at path. With create it is made, if it is not there, with
// the mode of the lock file. SQLite has to make it: a process that opens a data
// base file itself loses, when it closes it, the locks that SQLite holds on it.
func openConn(path string, create bool) (*conn, error) {
	fdatasync()
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
	c.SetBusyTimeout(busy5s)
	return &conn{c}, nil
}

func (c *conn) close() { _ = c.Close() }

// exec runs statements that take nothing and whose rows are of no interest.
func (c *conn) exec(statements ...string) error {
	for _, sql := range statements {
		p, _, err := c.PrepareTransient(sql)
		if err != nil {
			return engine(err)
		}
		for more := true; more && err == nil; {
			more, err = p.Step()
		}
		if ferr := p.Finalize(); err == nil {
			err = ferr
		}
		if err != nil {
			return engine(fmt.Errorf("%w: %s", err, sql))
		}
	}
	return nil
}

// number is the first column of a statement's first row as an integer, 0 without rows.
func (c *conn) number(sql string) (int64, error) {
	p, _, err := c.PrepareTransient(sql)
	if err != nil {
		return 0, engine(err)
	}
	more, err := p.Step()
	n := int64(0)
	if more && err == nil {
		n = p.ColumnInt64(0)
	}
	if ferr := p.Finalize(); err == nil {
		err = ferr
	}
	return n, engine(err)
}

// word is the first column of a statement's first row as a text.
func (c *conn) word(sql string) (string, error) {
	p, _, err := c.PrepareTransient(sql)
	if err != nil {
		return "", engine(err)
	}
	more, err := p.Step()
	word := ""
	if more && err == nil {
		word = p.ColumnText(0)
	}
	if ferr := p.Finalize(); err == nil {
		err = ferr
	}
	return word, engine(err)
}

// inTransaction tells whether a transaction is open: SQLite ends one itself on
// some failures.
func (c *conn) inTransaction() bool { return !c.AutocommitEnabled() }

// named is a place for a statement, and its text.
type named struct {
	to  **stmt
	sql string
}

// prepare makes statements that live as long as the connection.
func (c *conn) prepare(all []named) error {
	for _, n := range all {
		p, err := c.Prepare(n.sql)
		if err != nil {
			return engine(err)
		}
		*n.to = &stmt{p}
	}
	return nil
}

// stmt is a prepared statement. It is reset when it has given its last row, has
// failed, or reset is called; its parameters keep their values.
type stmt struct{ p *sqlite.Stmt }

func (s *stmt) bindInt(i int, v int64) { s.p.BindInt64(i, v) }

func (s *stmt) bindNull(i int) { s.p.BindNull(i) }

func (s *stmt) bindText(i int, v string) { s.p.BindText(i, v) }

// bindBytes binds NULL for nil.
func (s *stmt) bindBytes(i int, v []byte) {
	if v == nil {
		s.p.BindNull(i)
		return
	}
	s.p.BindBytes(i, v)
}

// bindTime binds NULL for store.Never.
func (s *stmt) bindTime(i int, v store.Millis) {
	if v == store.Never {
		s.p.BindNull(i)
		return
	}
	s.p.BindInt64(i, int64(v))
}

// step tells whether there is a row.
func (s *stmt) step() (bool, error) {
	row, err := s.p.Step()
	if err != nil {
		return false, engine(err)
	}
	if !row {
		return false, engine(s.p.Reset())
	}
	return true, nil
}

// reset is for a statement with rows that are not wanted.
func (s *stmt) reset() { _ = s.p.Reset() }

// run steps through all rows.
func (s *stmt) run() error { return s.each(func() {}) }

// each calls do on every row.
func (s *stmt) each(do func()) error {
	for {
		row, err := s.step()
		if err != nil || !row {
			return err
		}
		do()
	}
}

// one is the integer of a statement that gives at most one, 0 for none.
func (s *stmt) one() (int64, error) {
	row, err := s.step()
	if err != nil || !row {
		return 0, err
	}
	defer s.reset()
	return s.int(0), nil
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

// into copies a value of a known length, and tells whether it has that length.
func (s *stmt) into(i int, b []byte) bool {
	return s.p.ColumnLen(i) == len(b) && s.p.ColumnBytes(i, b) == len(b)
}

// fatal tells a failure of the data base from an answer like ErrNotFound: the
// transaction it happened in can't be trusted.
func fatal(err error) bool {
	var e *engineError
	return errors.As(err, &e)
}

const busy5s = 5 * time.Second
