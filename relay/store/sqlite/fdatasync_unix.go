//go:build unix

package sqlite

import (
	"sync"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// useFdatasync makes SQLite sync with fdatasync where the platform has it. Here that is as
// durable as fsync, and saves the file system a journal write for the file's times. It does
// what Fdatasync of modernc.org/sqlite does, which would bring a driver for database/sql.
var useFdatasync = sync.OnceFunc(func() {
	tls := libc.NewTLS()
	defer tls.Close()
	sqlite3.Xmodernc_fdatasync(tls, 1)
})
