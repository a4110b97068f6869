package relay_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/local"
	"kubbi-mcp/relay/relaytest"
	"kubbi-mcp/relay/store/sqlite"
)

// lockedBuffer is what a logger writes to from many goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// TestLogsTellNothing sends right and wrong requests to every route, and searches the log
// of debug level.
func TestLogsTellNothing(t *testing.T) {
	var logged lockedBuffer
	r := newRig(t, relaytest.WithLogger(slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	const payload, meta, idem = "p4yl0ad-marker", "m3tadata-marker", "1dempotency-marker-0123456789"
	body := `{"content":"` + payload + `","content_type":"text/plain","ttl_seconds":60,"max_retrievals":1,"metadata":{"k":"` + meta + `"}}`
	c := r.create(body, key, idem)
	r.call("POST", api.PathKubbis, body, key, idem)
	r.call("POST", api.PathKubbis, strings.Replace(body, "60", "61", 1), key, idem)
	r.call("POST", api.PathKubbis, `{"`+payload)
	r.call("POST", api.PathKubbis, `{"content":"`+payload+`","`+payload+`":{"`+payload+`":1,"`+payload+`":1}}`)
	r.call("GET", api.PathKubbis+"?page="+payload, "")
	r.call("GET", api.PathKubbi+c.ID, "")
	r.call("GET", "/r/"+c.ClaimToken, "")
	r.call("GET", "/r/"+c.ClaimToken+"/inspect", "")
	r.call("GET", "/x/"+c.ClaimToken, "")
	r.call("GET", "//r/"+c.ClaimToken, "")
	r.call("PUT", "/r/"+c.ClaimToken, "")
	r.call("GET", "/api/v1/kubbis", "", "Authorization", "Bearer x"+r.APIKey)
	r.claim(c.ClaimToken, key, idem)
	r.claim(c.ClaimToken, key, idem)
	r.claim(c.ClaimToken)
	r.call("DELETE", "/r/"+c.ClaimToken+"/claim", "", key, idem)
	r.call("DELETE", api.PathKubbi+c.ID, "")
	r.Clock.Advance(48 * time.Hour)
	r.Sweep(t)
	out := logged.String()
	if n := strings.Count(out, `"msg":"request"`); n < 17 {
		t.Errorf("%d requests were logged", n)
	}
	if !strings.Contains(out, `"route":"/r/{token}/claim"`) || !strings.Contains(out, `"method":"POST"`) {
		t.Error("requests are logged without method or route")
	}
	if !strings.Contains(out, `"key":"`+relay.KeyID(relay.HashSecret(r.APIKey))+`"`) {
		t.Error("requests are logged without the id of their key")
	}
	sum := sha256.Sum256([]byte(c.ClaimToken))
	for name, secret := range map[string]string{
		"claim token": c.ClaimToken, "its hash": hex.EncodeToString(sum[:]), "API key": r.APIKey, "payload": payload, "metadata": meta, "idempotency key": idem,
	} {
		if strings.Contains(out, secret) {
			t.Errorf("the log holds the %s", name)
		}
	}
}

// TestWiping searches the data directory's files for the secret that opens a kubbi, before
// and after each way to end. Payload and metadata are never there in clear.
func TestWiping(t *testing.T) {
	r := newRig(t)
	const marker, meta = "w1ped-payload-marker", "w1ped-metadata-marker"
	// A short content and one of several chunks.
	short, long := strings.Repeat(marker, 200), strings.Repeat(marker, 100_000)
	for name, end := range map[string]func(c api.CreateResponse){
		"burn": func(c api.CreateResponse) { r.claim(c.ClaimToken) },
		"burn and release": func(c api.CreateResponse) {
			r.claim(c.ClaimToken, key, keyOne)
			r.call("DELETE", "/r/"+c.ClaimToken+"/claim", "", key, keyOne)
		},
		"burn and grace": func(c api.CreateResponse) {
			r.claim(c.ClaimToken, key, keyOne)
			r.Clock.Advance(time.Minute)
			r.Sweep(t)
		},
		"delete": func(c api.CreateResponse) { r.call("DELETE", api.PathKubbi+c.ID, "") },
		"expiry": func(api.CreateResponse) { r.Clock.Advance(time.Hour); r.Sweep(t) },
	} {
		for _, text := range []string{short, long} {
			c := r.text(text, `,"max_retrievals":1,"metadata":{"k":"`+meta+`"}`)
			secret := secretIn(t, r.Dir, c.ID, r.Clock.Now())
			if find(t, r.Dir, secret) == "" {
				t.Fatalf("%s: no secret was found while it was there", name)
			}
			end(c)
			deadline := time.Now().Add(30 * time.Second) // a second, on a machine that is idle
			found := find(t, r.Dir, secret)
			for found != "" && time.Now().Before(deadline) {
				time.Sleep(20 * time.Millisecond)
				found = find(t, r.Dir, secret)
			}
			if found != "" {
				t.Errorf("%s: %s still holds the secret", name, found)
			}
			for _, clear := range []string{marker, meta} {
				if found := find(t, r.Dir, []byte(clear)); found != "" {
					t.Errorf("%s: %s holds %q", name, found, clear)
				}
			}
		}
	}
}

// secretIn reads the secret of a kubbi in the data directory's store.
func secretIn(t *testing.T, dir, id string, now time.Time) []byte {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(dir, "kubbi.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	k, err := db.Get(t.Context(), local.Owner, id, now)
	if err != nil {
		t.Fatal(err)
	}
	return k.Secret[:]
}

func find(t *testing.T, dir string, needle []byte) (found string) {
	t.Helper()
	files(t, dir, func(path string, b []byte) {
		if bytes.Contains(b, needle) {
			found = filepath.Base(path)
		}
	})
	return found
}

func files(t *testing.T, dir string, f func(path string, b []byte)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a side file that came and went
		}
		if err == nil {
			f(path, b)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
