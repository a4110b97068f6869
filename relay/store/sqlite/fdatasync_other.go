//go:build !unix

package sqlite

// useFdatasync does nothing: SQLite never syncs with fdatasync here.
func useFdatasync() {}
