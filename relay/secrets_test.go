package relay_test

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
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
	"kubbi-mcp/relay/relaytest"
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

// TestLogsTellNothing drives every route, well and badly, and greps what was
// logged at debug level.
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

// TestWiping looks for a payload in the data directory's files, in clear and
// as it was sealed, after each way in which it may end.
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
			sealed := sealedIn(t, r.Dir)
			if len(sealed) == 0 || find(t, r.Dir, sealed[0]) == "" {
				t.Fatalf("%s: no ciphertext was found while it was there", name)
			}
			if found := find(t, r.Dir, []byte(marker)); found != "" {
				t.Errorf("%s: %s held plaintext before the end", name, found)
			}
			end(c)
			for _, needle := range append(sealed, []byte(marker), []byte(meta)) {
				// The store has a second to scrub its files.
				deadline := time.Now().Add(30 * time.Second)
				found := find(t, r.Dir, needle)
				for found != "" && time.Now().Before(deadline) {
					time.Sleep(20 * time.Millisecond)
					found = find(t, r.Dir, needle)
				}
				if found != "" {
					t.Errorf("%s: %s still holds %.20q...", name, found, needle)
				}
			}
		}
	}
}

// sealedIn gives pieces of the sealed chunks that the store holds now: 32 bytes
// of each block of 4 KB.
func sealedIn(t *testing.T, dir string) (out [][]byte) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), "SELECT sealed FROM chunk")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var b []byte
		if err := rows.Scan(&b); err != nil {
			t.Fatal(err)
		}
		for i := 100; i+32 <= len(b) && len(out) < 100; i += 4096 {
			out = append(out, b[i:i+32])
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
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
