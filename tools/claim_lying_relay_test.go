package tools

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// liar is a relay whose inspect says that a kubbi has 10 bytes.
type liar struct {
	grace, pack bool
	payload     string // the inside of a JSON string
	stream      int    // instead of payload: how many bytes
	metadata    string // of the last kubbi that was sent
	claims      atomic.Int32
	key         atomic.Value
}

const liarTimes = `"max_retrievals":1,"retrieval_count":0,"created_at":"2026-03-28T12:00:00.000Z","expires_at":"2036-03-28T12:00:00.000Z"`

func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	metadata := cmp.Or(l.metadata, "null")
	if r.URL.Path == api.PathKubbis {
		var sent struct{ Metadata json.RawMessage }
		_ = json.NewDecoder(r.Body).Decode(&sent)
		l.metadata = string(sent.Metadata)
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"id":"00000000-0000-4000-8000-000000000000","claim_url":"http://%s/r/%s","claim_token":%q,"status":"active","metadata":null,%s}`, r.Host, anyToken, anyToken, liarTimes)
		return
	}
	file := `"type":"kubbi_package","file_count":1,"total_size_bytes":10,"files":[{"name":"a.txt","content_type":"text/plain","size_bytes":10,"role":null%s}],`
	if r.Method == http.MethodGet {
		w.Header().Set("Kubbi-Payload-Size", "10")
		kind := `"content_type":"text/plain",`
		if l.pack {
			kind = fmt.Sprintf(file, "")
		}
		fmt.Fprintf(w, `{"status":"active",%s"metadata":%s,%s}`, kind, metadata, liarTimes)
		return
	}
	if r.Method != http.MethodPost {
		return
	}
	if key := r.Header.Get("Idempotency-Key"); l.grace {
		w.Header().Set("Kubbi-Claim-Grace", "60")
		if l.key.CompareAndSwap(nil, key) {
			l.claims.Add(1)
		} else if l.key.Load() != key {
			w.WriteHeader(http.StatusGone)
			fmt.Fprint(w, `{"error":"gone","message":"burned"}`)
			return
		}
	} else if l.claims.Add(1) > 1 {
		w.WriteHeader(http.StatusGone)
		fmt.Fprint(w, `{"error":"gone","message":"burned"}`)
		return
	}
	if l.stream > 0 {
		fmt.Fprint(w, `{"burned":true,"content":"`)
		block := bytes.Repeat([]byte("a"), 1<<10)
		for range l.stream / len(block) {
			_, _ = w.Write(block)
		}
		fmt.Fprintf(w, `","content_type":"text/plain","metadata":null,%s}`, liarTimes)
		return
	}
	if l.pack {
		fmt.Fprintf(w, `{"burned":true,%s"metadata":%s,%s}`, fmt.Sprintf(file, `,"content":"`+l.payload+`"`), metadata, liarTimes)
		return
	}
	fmt.Fprintf(w, `{"burned":true,"content":"%s","content_type":"text/plain","metadata":%s,%s}`, l.payload, metadata, liarTimes)
}

// TestLyingInspect claims 3 MB that are 10 bytes by inspect: the client gets nothing over
// the limit, and the payload is not lost.
func TestLyingInspect(t *testing.T) {
	const size = 3 << 20
	for _, grace := range []bool{true, false} {
		for _, pack := range []bool{false, true} {
			for _, received := range []bool{true, false} {
				t.Run(fmt.Sprintf("grace %v, package %v, received %v", grace, pack, received), func(t *testing.T) {
					l := &liar{grace: grace, pack: pack, payload: strings.Repeat("a", size)}
					srv := httptest.NewServer(l)
					defer srv.Close()
					state, dir := t.TempDir(), t.TempDir()
					c := saverReceiving(t, srv.URL, state, dir, received)
					res := c.call(t, "claim", byToken)
					if text := textOf(t, res); len(text) > DefaultMaxInline || encodedSize(res) > DefaultMaxInline || strings.Contains(text, strings.Repeat("a", 100)) {
						t.Fatalf("%d bytes reach the client", len(text))
					}
					want, found := strings.Repeat("a", size), false
					switch {
					case received:
						found = holdsFile(t, state, want)
					case grace:
						res := c.call(t, "claim", fmt.Sprintf(`{"claim_url":%q,"save_to":%q}`, anyToken, dir))
						if res.IsError {
							t.Fatal(textOf(t, res))
						}
						found = holdsFile(t, dir, want)
					default:
						found = holdsFile(t, state, want) // the spool, which the error names
					}
					if !found || l.claims.Load() != 1 {
						t.Errorf("found %v after %d claims: %s", found, l.claims.Load(), textOf(t, res))
					}
				})
			}
		}
	}
}

// TestLyingSealed does the same with a sealed kubbi: another payload comes.
func TestLyingSealed(t *testing.T) {
	l := &liar{grace: true, payload: strings.Repeat("a", 3<<20)}
	srv := httptest.NewServer(l)
	defer srv.Close()
	client := newClient(t, "kb_x", srv.URL)
	sent, err := client.Send(t.Context(), kubbi.SendParams{Content: "secret", Sealed: true})
	if err != nil {
		t.Fatal(err)
	}
	c := saverReceiving(t, srv.URL, t.TempDir(), t.TempDir(), true)
	res := c.call(t, "claim", fmt.Sprintf(`{"claim_url":%q}`, sent.ClaimURL))
	text := textOf(t, res)
	if !res.IsError || len(text) > 2000 || strings.Contains(text, "aaaaaaaa") || l.claims.Load() != 1 || !strings.Contains(text, "can't be opened") {
		t.Errorf("%d claims, %.2000s", l.claims.Load(), text)
	}
}

// TestLyingMemory claims 64 MB that are 10 bytes by inspect: the memory of the process must
// not grow by that.
func TestLyingMemory(t *testing.T) {
	testkit.OnlyPlain(t, "memory is measured, and the race detector takes its own")
	l := &liar{stream: 64 << 20}
	srv := httptest.NewServer(l)
	defer srv.Close()
	c := saverReceiving(t, srv.URL, t.TempDir(), t.TempDir(), true)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	res := c.call(t, "claim", byToken)
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; res.IsError || grown > 32<<20 {
		t.Errorf("%d MiB were allocated: %.300s", grown>>20, textOf(t, res))
	}
}

// saverReceiving is saver with or without a folder of the server's own.
func saverReceiving(t *testing.T, base, state, dir string, received bool) *caller {
	t.Helper()
	c, cfg := newSaver(t, base, state, dir, "")
	cfg.Received = received
	c.register(t, cfg)
	return c
}

func holdsFile(t *testing.T, dir, want string) bool {
	t.Helper()
	found := false
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			b, rerr := os.ReadFile(path)
			found = found || rerr == nil && bytes.Contains(b, []byte(want))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
