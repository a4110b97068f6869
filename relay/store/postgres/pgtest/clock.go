//go:build unix

package pgtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Ahead is Schema with a server clock that is ahead: the schema has its own function
// clock_timestamp, which comes before PostgreSQL's in the search path.
func (c *Cluster) Ahead(t testing.TB, by time.Duration) (url string) {
	t.Helper()
	url = c.Schema(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatalf("postgres: %v", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, fmt.Sprintf(`CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
		'SELECT pg_catalog.clock_timestamp() + interval ''%d milliseconds'''`, by.Milliseconds())); err != nil {
		t.Fatalf("postgres: %v", err)
	}
	return url + ",pg_catalog"
}
