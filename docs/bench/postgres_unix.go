//go:build unix

package main

import (
	"context"
	"os"

	"kubbi-mcp/relay/store/postgres/pgtest"
)

// startPostgres starts a server of its own, which waits for its disk, and gives
// what makes an empty data base.
func startPostgres(ctx context.Context, parent string) (empty func(name string) (string, error), stop func() error, err error) {
	// The server's user, who is not root, has to pass.
	if err := os.Chmod(parent, 0o711); err != nil {
		return nil, nil, err
	}
	c := &pgtest.Cluster{Settings: []string{"fsync = on", "synchronous_commit = on"}, Dir: parent}
	if _, err := c.Empty(ctx, "trial"); err != nil {
		return nil, nil, err
	}
	return func(name string) (string, error) { return c.Empty(ctx, name) }, c.Stop, nil
}
