package local_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/local"
	"kubbi-mcp/relay/relaytest"
	"kubbi-mcp/relay/store/sqlite"
)

// TestOwnKeyRevoked revokes the directory's own key while the relay runs.
func TestOwnKeyRevoked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kubbi")
	clock := relaytest.StoppedAt(time.Now())
	r := newRelay(t, local.Config{Dir: dir, Now: clock.Now})
	c := mustCreate(t, r, "x")
	key, err := r.APIKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(dir, "kubbi.db")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.RevokeAPIKey(t.Context(), relay.HashSecret(key), clock.Now())
	if cerr := db.Close(); err != nil || cerr != nil {
		t.Fatal(err, cerr)
	}
	clock.Advance(time.Second)
	if _, err := create(t.Context(), r, "x"); err == nil || !strings.Contains(err.Error(), "wrong, expired or revoked") {
		t.Errorf("the running relay: %v", err)
	}
	second := newRelay(t, local.Config{Dir: dir, Now: clock.Now})
	path := filepath.Join(dir, "api-key")
	if err := second.Open(t.Context()); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "remove that file") {
		t.Errorf("another: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	resp, err := client(second).Get(origin + api.PathKubbi + c.ID)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("with a new key: %s", resp.Status)
	}
}
