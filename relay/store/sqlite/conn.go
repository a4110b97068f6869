package sqlite

import (
	"fmt"
	"syscall"
	"unsafe"

	"modernc.org/libc"
	"modernc.org/sqlite" // its init prepares the library
	sqlite3 "modernc.org/sqlite/lib"
)

// conn is one connection to the data base, for one goroutine at a time. It
// speaks to SQLite's C interface: database/sql and its driver cost more per
// statement (boxed arguments, column names anew for every query) than SQLite
// itself needs to run these.
type conn struct {
	tls   *libc.TLS
	db    uintptr
	stmts []*stmt
	arena uintptr // C memory that bound bytes are copied to
	size  int     // of arena
	used  int
	log   *logWriter // nil: SQLite writes its log itself
}

// sqliteError is a failure that SQLite reported.
type sqliteError struct {
	code  int // extended result code
	errno syscall.Errno
	msg   string
}

func (e *sqliteError) Error() string { return fmt.Sprintf("sqlite: %s (%d)", e.msg, e.code) }

// pointer turns an address in C memory into a pointer.
func pointer(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }

// openConn opens the file at path, which is there and which this user may
// write to.
func openConn(path string) (*conn, error) {
	c, err := dial(path, sqlite3.SQLITE_OPEN_READWRITE)
	return c, explain(path, err)
}

// create is openConn, but makes the file if it is not there, with the mode of
// the lock file. SQLite has to make it: the process that opens a data base
// file itself loses, when it closes it, the locks that SQLite holds on it.
func create(path string) (*conn, error) {
	name := uri(path, "modeof="+escaped(lockPath(path)))
	c, err := dial(name, sqlite3.SQLITE_OPEN_READWRITE|sqlite3.SQLITE_OPEN_CREATE|sqlite3.SQLITE_OPEN_URI)
	return c, explain(path, err)
}

func dial(name string, flags int32) (*conn, error) {
	// fdatasync is as durable as fsync here and spares the file system a
	// journal write for the timestamps; where there is none, fsync stays.
	_, _ = sqlite.Fdatasync(true)
	c := &conn{tls: libc.NewTLS()}
	zname, err := libc.CString(name)
	if err != nil {
		c.tls.Close()
		return nil, err
	}
	defer libc.Xfree(c.tls, zname)
	out := c.tls.Alloc(8)
	defer c.tls.Free(8)
	*(*uintptr)(pointer(out)) = 0
	// No mutex, since a conn is never shared.
	rc := sqlite3.Xsqlite3_open_v2(c.tls, zname, out, flags|sqlite3.SQLITE_OPEN_NOMUTEX, 0)
	c.db = *(*uintptr)(pointer(out))
	// What can't be written is opened all the same, for reading.
	if rc == sqlite3.SQLITE_OK && sqlite3.Xsqlite3_db_readonly(c.tls, c.db, 0) == 1 {
		rc = sqlite3.SQLITE_READONLY
	}
	if rc != sqlite3.SQLITE_OK {
		err := c.fault(rc)
		c.close()
		return nil, err
	}
	sqlite3.Xsqlite3_extended_result_codes(c.tls, c.db, 1)
	sqlite3.Xsqlite3_busy_timeout(c.tls, c.db, busyMS)
	return c, nil
}

func (c *conn) close() {
	for _, s := range c.stmts {
		sqlite3.Xsqlite3_finalize(c.tls, s.p)
	}
	c.stmts = nil
	if c.db != 0 {
		sqlite3.Xsqlite3_close_v2(c.tls, c.db)
		c.db = 0
	}
	if c.log != nil {
		c.log.free(c.tls)
		c.log = nil
	}
	if c.arena != 0 {
		libc.Xfree(c.tls, c.arena)
		c.arena = 0
	}
	c.tls.Close()
}

func (c *conn) fault(rc int32) error {
	e := &sqliteError{code: int(rc), msg: libc.GoString(sqlite3.Xsqlite3_errstr(c.tls, rc))}
	if c.db != 0 && sqlite3.Xsqlite3_extended_errcode(c.tls, c.db) == rc {
		e.msg = libc.GoString(sqlite3.Xsqlite3_errmsg(c.tls, c.db))
		e.errno = syscall.Errno(sqlite3.Xsqlite3_system_errno(c.tls, c.db))
	}
	return e
}

// exec runs statements that take nothing and whose rows are of no interest.
func (c *conn) exec(sql string) error {
	p, err := libc.CString(sql)
	if err != nil {
		return err
	}
	defer libc.Xfree(c.tls, p)
	if rc := sqlite3.Xsqlite3_exec(c.tls, c.db, p, 0, 0, 0); rc != sqlite3.SQLITE_OK {
		return c.fault(rc)
	}
	return nil
}

// queryInt runs a statement and gives its first column's integer, 0 without rows.
func (c *conn) queryInt(sql string) (int64, error) {
	s, err := c.prepare(sql)
	if err != nil {
		return 0, err
	}
	defer func() {
		sqlite3.Xsqlite3_finalize(c.tls, s.p)
		c.stmts = c.stmts[:len(c.stmts)-1]
	}()
	row, err := s.step()
	if err != nil || !row {
		return 0, err
	}
	return s.int(0), nil
}

// inTransaction tells whether a transaction is open: SQLite ends one itself on
// some failures.
func (c *conn) inTransaction() bool {
	return sqlite3.Xsqlite3_get_autocommit(c.tls, c.db) == 0
}

// changes is how many rows the last statement that changes any has changed.
func (c *conn) changes() int { return int(sqlite3.Xsqlite3_changes(c.tls, c.db)) }

// stmt is a prepared statement, closed with its conn.
type stmt struct {
	c *conn
	p uintptr
}

func (c *conn) prepare(sql string) (*stmt, error) {
	p, err := libc.CString(sql)
	if err != nil {
		return nil, err
	}
	defer libc.Xfree(c.tls, p)
	out := c.tls.Alloc(8)
	defer c.tls.Free(8)
	*(*uintptr)(pointer(out)) = 0
	if rc := sqlite3.Xsqlite3_prepare_v3(c.tls, c.db, p, -1, sqlite3.SQLITE_PREPARE_PERSISTENT, out, 0); rc != sqlite3.SQLITE_OK {
		return nil, c.fault(rc)
	}
	s := &stmt{c: c, p: *(*uintptr)(pointer(out))}
	c.stmts = append(c.stmts, s)
	return s, nil
}

// args starts the arguments of one run: what bindBytes copied for the run
// before is free again. Room is made for n bytes at once, so that the arena
// never moves under a bound value.
func (s *stmt) args(n int) error {
	s.c.used = 0
	if n <= s.c.size {
		return nil
	}
	libc.Xfree(s.c.tls, s.c.arena)
	s.c.size = max(n, 4096)
	s.c.arena = libc.Xmalloc(s.c.tls, libc.Tsize_t(s.c.size))
	if s.c.arena == 0 {
		s.c.size = 0
		return &sqliteError{code: sqlite3.SQLITE_NOMEM, msg: "out of memory"}
	}
	return nil
}

// trim gives back an arena that a large payload has left.
func (c *conn) trim() {
	if c.size > maxArena {
		libc.Xfree(c.tls, c.arena)
		c.arena, c.size = 0, 0
	}
}

// maxArena is how much of the arena is kept from one run to the next.
const maxArena = 64 << 10

// The bind functions can only fail on an index out of range, a fault that the
// first run of any test would show as a NOT NULL or a wrong answer.

func (s *stmt) bindInt(i int, v int64) { sqlite3.Xsqlite3_bind_int64(s.c.tls, s.p, int32(i), v) }

func (s *stmt) bindNull(i int) { sqlite3.Xsqlite3_bind_null(s.c.tls, s.p, int32(i)) }

func (s *stmt) copyIn(n int) (uintptr, []byte) {
	p := s.c.arena + uintptr(s.c.used)
	s.c.used += n
	return p, unsafe.Slice((*byte)(pointer(p)), n)
}

// bindBytes binds a blob, NULL for nil. Its bytes are part of args' n.
func (s *stmt) bindBytes(i int, b []byte) {
	switch {
	case b == nil:
		s.bindNull(i)
	case len(b) == 0:
		sqlite3.Xsqlite3_bind_zeroblob(s.c.tls, s.p, int32(i), 0)
	default:
		p, to := s.copyIn(len(b))
		copy(to, b)
		sqlite3.Xsqlite3_bind_blob(s.c.tls, s.p, int32(i), p, int32(len(b)), 0)
	}
}

// bindText binds a text. Its bytes, and one more, are part of args' n.
func (s *stmt) bindText(i int, t string) {
	p, to := s.copyIn(len(t) + 1)
	copy(to, t)
	to[len(t)] = 0
	sqlite3.Xsqlite3_bind_text(s.c.tls, s.p, int32(i), p, int32(len(t)), 0)
}

// step runs to the next row. After the last one, and after an error, the
// statement is ready for its next run.
func (s *stmt) step() (row bool, err error) {
	switch rc := sqlite3.Xsqlite3_step(s.c.tls, s.p); rc {
	case sqlite3.SQLITE_ROW:
		return true, nil
	case sqlite3.SQLITE_DONE:
		s.reset()
		return false, nil
	default:
		err := s.c.fault(rc)
		s.reset()
		return false, err
	}
}

// run runs a statement that gives no rows.
func (s *stmt) run() error {
	_, err := s.step()
	return err
}

// each runs a statement and calls f at each of its rows.
func (s *stmt) each(f func()) error {
	for {
		row, err := s.step()
		if err != nil || !row {
			return err
		}
		f()
	}
}

// reset ends a run before its last row.
func (s *stmt) reset() { sqlite3.Xsqlite3_reset(s.c.tls, s.p) }

func (s *stmt) int(i int) int64 { return sqlite3.Xsqlite3_column_int64(s.c.tls, s.p, int32(i)) }

func (s *stmt) null(i int) bool {
	return sqlite3.Xsqlite3_column_type(s.c.tls, s.p, int32(i)) == sqlite3.SQLITE_NULL
}

// raw is a column's bytes, valid until the next step.
func (s *stmt) raw(i int) []byte {
	p := sqlite3.Xsqlite3_column_blob(s.c.tls, s.p, int32(i))
	if p == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(pointer(p)), sqlite3.Xsqlite3_column_bytes(s.c.tls, s.p, int32(i)))
}

// bytes is a copy of a column's bytes, nil for NULL, not nil for an empty blob.
func (s *stmt) bytes(i int) []byte {
	if b := s.raw(i); b != nil {
		return append(make([]byte, 0, len(b)), b...)
	}
	if s.null(i) {
		return nil
	}
	return []byte{}
}

func (s *stmt) text(i int) string { return string(s.raw(i)) }

// autoCheckpoint sets whether a commit may move the log into the data base. What
// was not moved meanwhile is moved when it is set again, as far as readers let it.
func (c *conn) autoCheckpoint(on bool) {
	if !on {
		sqlite3.Xsqlite3_wal_autocheckpoint(c.tls, c.db, 0)
		return
	}
	sqlite3.Xsqlite3_wal_autocheckpoint(c.tls, c.db, checkpointPages)
	sqlite3.Xsqlite3_wal_checkpoint_v2(c.tls, c.db, 0, sqlite3.SQLITE_CHECKPOINT_PASSIVE, 0, 0) // a commit's own tells nobody of a failure either
}

// checkpoint moves the write-ahead log into the data base, after which it is
// written from its start again, and gives the frames it had. truncate also
// empties the file. It fails soon if a reader is still at an older state.
func (c *conn) checkpoint(truncate bool) (frames int64, err error) {
	mode := int32(sqlite3.SQLITE_CHECKPOINT_RESTART)
	if truncate {
		mode = sqlite3.SQLITE_CHECKPOINT_TRUNCATE
	}
	n := c.tls.Alloc(8)
	defer c.tls.Free(8)
	sqlite3.Xsqlite3_busy_timeout(c.tls, c.db, checkpointMS)
	defer sqlite3.Xsqlite3_busy_timeout(c.tls, c.db, busyMS)
	if rc := sqlite3.Xsqlite3_wal_checkpoint_v2(c.tls, c.db, 0, mode, n, 0); rc != sqlite3.SQLITE_OK {
		return 0, c.fault(rc)
	}
	return int64(*(*int32)(pointer(n))), nil
}
