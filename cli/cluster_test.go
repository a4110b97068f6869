package cli_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// stormTime is how long a storm lasts.
func stormTime() time.Duration {
	if os.Getenv("KUBBI_CI") == "1" {
		return 30 * time.Second
	}
	return 4 * time.Second
}

// TestClusterOnFile has three relays on one SQLite file.
func TestClusterOnFile(t *testing.T) {
	dir := t.TempDir()
	c := startCluster(t, 3, func(addr string) []string {
		return []string{"serve", "--data-dir", dir, "--relay-url", "http://" + addr, "--log-format", "json", "--log-level", "debug"}
	})
	key, err := os.ReadFile(filepath.Join(dir, "api-key"))
	if err != nil {
		t.Fatal(err)
	}
	s := newStorm(t, c.origins(), strings.TrimSpace(string(key)))
	s.run(stormTime(), func(ctx context.Context) { c.killInTurn(ctx, 2*time.Second) })
	c.silent(s)
}
