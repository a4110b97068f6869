//go:build !unix

package relay_test

import "testing"

func overPostgres(t testing.TB) opener {
	t.Skip("a server is started on Unix only")
	return nil
}
