package relay_test

import (
	"crypto/rand"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/internal/atrest"
	"kubbi-mcp/internal/keyring"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/store"
)

// giveRing writes a keyring to a file.
func giveRing(t *testing.T, file string, ring *atrest.Keyring) {
	t.Helper()
	text, err := ring.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestNodeBehind has a node that gets a new master key later than another one. It claims
// nothing that it can't open, and finds the key by itself once it is there.
func TestNodeBehind(t *testing.T) {
	overEach(t, func(t *testing.T, open opener) {
		old, err := atrest.NewKeyring(rand.Reader, start)
		if err != nil {
			t.Fatal(err)
		}
		both, err := old.With(rand.Reader, start, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		logged := &lockedBuffer{}
		var files []string
		var rings []*keyring.Live // they are not kept up to date
		tm := newTeam(t, 2, open, func(cfg *relay.Config) {
			file := filepath.Join(t.TempDir(), "keyring.json")
			giveRing(t, file, old)
			ring, err := keyring.Open(t.Context(), keyring.Config{Source: keyring.File(file)})
			if err != nil {
				t.Fatal(err)
			}
			files, rings = append(files, file), append(rings, ring)
			cfg.Keyring, cfg.Logger = ring, slog.New(slog.NewTextHandler(logged, nil))
		})
		const ahead, behind = 0, 1
		key := tm.key("kb_o", store.APIKey{})
		claim := func(node int, token string) answer { return tm.call(node, "", "POST", "/r/"+token+"/claim", "") }
		again := func(node int) answer {
			return tm.call(node, key, "POST", api.PathKubbis, small, api.HeaderIdempotencyKey, "again-secret-0123456789-abc")
		}
		const once = `{"content":"x","content_type":"text/plain","ttl_seconds":3600,"max_retrievals":1}`

		giveRing(t, files[ahead], both)
		if err := rings[ahead].Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		under := tm.create(behind, key, once)
		if a := claim(ahead, under.ClaimToken); a.status != http.StatusOK {
			t.Errorf("under the old key: %d %s", a.status, a.body)
		}
		under = tm.create(ahead, key, once)
		first := again(ahead)
		for range 2 {
			a := claim(behind, under.ClaimToken)
			if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || !strings.Contains(string(a.body), `"unavailable"`) {
				t.Errorf("a claim without the key: %d %v %s", a.status, a.header, a.body)
			}
		}
		if a := again(behind); a.status != http.StatusServiceUnavailable {
			t.Errorf("a repeated create without the key: %d %s", a.status, a.body)
		}
		if a := tm.call(behind, "", "GET", "/r/"+under.ClaimToken+"/inspect", ""); a.status != http.StatusServiceUnavailable {
			t.Errorf("an inspect without the key: %d %s", a.status, a.body)
		}
		if a := tm.call(ahead, "", "GET", "/r/"+under.ClaimToken+"/inspect", ""); !strings.Contains(string(a.body), `"retrieval_count":0`) {
			t.Errorf("a claim without the key was counted: %d %s", a.status, a.body)
		}

		giveRing(t, files[behind], both)
		if a := again(behind); a.status != http.StatusCreated || string(a.body) != string(first.body) {
			t.Errorf("a repeated create: %d %s, first %s", a.status, a.body, first.body)
		}
		if a := claim(behind, under.ClaimToken); a.status != http.StatusOK || !strings.Contains(string(a.body), `"content":"x"`) {
			t.Errorf("a claim with the key: %d %s", a.status, a.body)
		}
		if out := logged.String(); !strings.Contains(out, "master key") || strings.Contains(out, under.ClaimToken) || strings.Contains(out, "again-secret-0123456789-abc") {
			t.Errorf("logged: %s", out)
		}
	})
}
