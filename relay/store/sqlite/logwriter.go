package sqlite

import (
	"encoding/binary"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// logBuffer is how much of the log is gathered into one write: 30 pages. SQLite
// takes no write of 128 KiB or more.
const logBuffer = 30 * (frameHeaderBytes + pageSize)

// logWriter gathers what a connection writes to its write-ahead log, until it
// syncs it: SQLite writes each page with two calls at odd offsets, which for a
// group's worth of pages cost ten times as much as one write of all of them,
// and more than its fsync. With synchronous=FULL nobody is told of a page in
// the log before it is synced, so nobody misses what is gathered here; the
// connection itself sees it written whenever it does anything but write.
//
// It stands in for SQLite's own methods on the open file of the log.
type logWriter struct {
	own    *sqlite3.Tsqlite3_io_methods // SQLite's
	copied uintptr                      // them with ours in place, in C memory
	buf    uintptr                      // C memory
	n      int64                        // bytes in buf
	start  int64                        // their offset in the file

	page   uint32          // number of the page whose frame header was written last
	pageAt int64           // where that page goes
	stale  map[uint32]bool // pages that were written with leftovers in them

	// SQLite's methods, and ours, which have to stay alive while it calls them.
	write             func(*libc.TLS, uintptr, uintptr, int32, int64) int32
	ourClose          func(*libc.TLS, uintptr) int32
	ourRead, ourWrite func(*libc.TLS, uintptr, uintptr, int32, int64) int32
	ourTruncate       func(*libc.TLS, uintptr, int64) int32
	ourSync           func(*libc.TLS, uintptr, int32) int32
	ourSize           func(*libc.TLS, uintptr, uintptr) int32
}

// cFunc is a Go function as the library calls it, goFunc the way back.
func cFunc[F any](f F) uintptr { return *(*uintptr)(unsafe.Pointer(&f)) }

func goFunc[F any](p uintptr) F {
	box := &struct{ p uintptr }{p}
	return *(*F)(unsafe.Pointer(box))
}

// gatherLog has the connection, which has read the data base before, gather
// what it writes to the log.
func (c *conn) gatherLog() error {
	out := c.tls.Alloc(8)
	defer c.tls.Free(8)
	if rc := sqlite3.Xsqlite3_file_control(c.tls, c.db, 0, sqlite3.SQLITE_FCNTL_JOURNAL_POINTER, out); rc != sqlite3.SQLITE_OK {
		return c.fault(rc)
	}
	file := (*sqlite3.Tsqlite3_file)(pointer(*(*uintptr)(pointer(out))))
	if file == nil || file.FpMethods == 0 {
		return nil // not open: nothing is gathered
	}
	l := &logWriter{own: (*sqlite3.Tsqlite3_io_methods)(pointer(file.FpMethods)), stale: map[uint32]bool{}}
	l.copied = libc.Xmalloc(c.tls, libc.Tsize_t(unsafe.Sizeof(*l.own)))
	l.buf = libc.Xmalloc(c.tls, logBuffer)
	if l.copied == 0 || l.buf == 0 {
		l.free(c.tls)
		return &sqliteError{code: sqlite3.SQLITE_NOMEM, msg: "out of memory"}
	}
	own := *l.own
	l.write = goFunc[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](own.FxWrite)
	read := goFunc[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](own.FxRead)
	closeFile := goFunc[func(*libc.TLS, uintptr) int32](own.FxClose)
	truncate := goFunc[func(*libc.TLS, uintptr, int64) int32](own.FxTruncate)
	sync := goFunc[func(*libc.TLS, uintptr, int32) int32](own.FxSync)
	size := goFunc[func(*libc.TLS, uintptr, uintptr) int32](own.FxFileSize)

	l.ourWrite = l.gather
	l.ourRead = func(t *libc.TLS, f, p uintptr, n int32, off int64) int32 {
		if rc := l.flush(t, f); rc != sqlite3.SQLITE_OK {
			return rc
		}
		return read(t, f, p, n, off)
	}
	l.ourTruncate = func(t *libc.TLS, f uintptr, n int64) int32 {
		if rc := l.flush(t, f); rc != sqlite3.SQLITE_OK {
			return rc
		}
		return truncate(t, f, n)
	}
	l.ourSync = func(t *libc.TLS, f uintptr, flags int32) int32 {
		if rc := l.flush(t, f); rc != sqlite3.SQLITE_OK {
			return rc
		}
		return sync(t, f, flags)
	}
	l.ourSize = func(t *libc.TLS, f, p uintptr) int32 {
		if rc := l.flush(t, f); rc != sqlite3.SQLITE_OK {
			return rc
		}
		return size(t, f, p)
	}
	l.ourClose = func(t *libc.TLS, f uintptr) int32 {
		rc := l.flush(t, f)
		if crc := closeFile(t, f); rc == sqlite3.SQLITE_OK {
			rc = crc
		}
		return rc
	}
	own.FxWrite = cFunc(l.ourWrite)
	own.FxRead = cFunc(l.ourRead)
	own.FxTruncate = cFunc(l.ourTruncate)
	own.FxSync = cFunc(l.ourSync)
	own.FxFileSize = cFunc(l.ourSize)
	own.FxClose = cFunc(l.ourClose)
	*(*sqlite3.Tsqlite3_io_methods)(pointer(l.copied)) = own
	file.FpMethods = l.copied
	c.log = l
	return nil
}

// gather takes a write that goes on where the last one ended.
func (l *logWriter) gather(t *libc.TLS, f, p uintptr, n int32, off int64) int32 {
	if rc := l.look(t, f, p, n, off); rc != sqlite3.SQLITE_OK {
		return rc
	}
	if l.n > 0 && (off != l.start+l.n || l.n+int64(n) > logBuffer) {
		if rc := l.flush(t, f); rc != sqlite3.SQLITE_OK {
			return rc
		}
	}
	if int64(n) > logBuffer {
		return l.write(t, f, p, n, off)
	}
	if l.n == 0 {
		l.start = off
	}
	copy(unsafe.Slice((*byte)(pointer(l.buf+uintptr(l.n))), n), unsafe.Slice((*byte)(pointer(p)), n))
	l.n += int64(n)
	return sqlite3.SQLITE_OK
}

// look notes the pages that have leftovers.
func (l *logWriter) look(t *libc.TLS, f, p uintptr, n int32, off int64) int32 {
	b := unsafe.Slice((*byte)(pointer(p)), n)
	switch n {
	case frameHeaderBytes:
		l.page, l.pageAt = binary.BigEndian.Uint32(b), off+frameHeaderBytes
	case pageSize:
		if leftovers(b) == nil {
			break
		}
		if off != l.pageAt { // a frame of this transaction gets another page
			header := t.Alloc(8)
			defer t.Free(8)
			if rc := l.ourRead(t, f, header, 4, off-frameHeaderBytes); rc != sqlite3.SQLITE_OK {
				return rc
			}
			l.page, l.pageAt = binary.BigEndian.Uint32(unsafe.Slice((*byte)(pointer(header)), 4)), off
		}
		l.stale[l.page] = true
	}
	return sqlite3.SQLITE_OK
}

// flush writes what was gathered. What can't be written is dropped: the
// transaction it belongs to fails.
func (l *logWriter) flush(t *libc.TLS, f uintptr) int32 {
	if l.n == 0 {
		return sqlite3.SQLITE_OK
	}
	n := l.n
	l.n = 0
	return l.write(t, f, l.buf, int32(n), l.start)
}

// drop forgets what a transaction that was taken back has gathered. Written
// later it might hit what another process has put in its place.
func (l *logWriter) drop() {
	if l != nil {
		l.n = 0
	}
}

func (l *logWriter) free(tls *libc.TLS) {
	libc.Xfree(tls, l.copied)
	libc.Xfree(tls, l.buf)
}
