package stdio

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/relay/relaytest"
)

// newFile makes a file of random bytes, and returns its path and checksum.
func newFile(t *testing.T, size int) (path string, data []byte, sum string) {
	t.Helper()
	data = make([]byte, size)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "build.bin")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(data)
	return path, data, hex.EncodeToString(hash[:])
}

func checksum(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// TestLargeFileBetweenAgents hands over 64 MiB by path. No part of the file is in the
// messages of either agent.
func TestLargeFileBetweenAgents(t *testing.T) {
	path, data, sum := newFile(t, 64<<20)
	shared, into, relay := t.TempDir(), t.TempDir(), testkit.FreeURL(t)
	a := start(t, "", "--data-dir", shared, "--relay-url", relay, "--allow-dir", filepath.Dir(path))
	b := start(t, "", "--data-dir", shared, "--relay-url", relay, "--allow-dir", into)
	sent := a.call(t, "send_files", map[string]any{"files": []any{map[string]any{"path": path}}, "max_retrievals": 1})
	if sent.IsError || len(sent.StructuredContent.Files) != 1 || sent.StructuredContent.Files[0].SHA256 != sum {
		t.Fatalf("sent: %+v", sent)
	}
	claim := map[string]any{"claim_url": sent.StructuredContent.ClaimURL}
	if r := b.call(t, "claim", claim); r.IsError || r.StructuredContent.Claimed {
		t.Errorf("claimed without a folder: %+v", r)
	}
	claim["save_to"] = into
	got := b.call(t, "claim", claim)
	if got.IsError || !got.StructuredContent.Claimed || len(got.Content) != 1 {
		t.Fatalf("claimed: %+v", got)
	}
	f := got.StructuredContent.Files[0]
	if f.Path != filepath.Join(into, "build.bin") || f.SHA256 != sum || f.SizeBytes != int64(len(data)) || checksum(t, f.Path) != sum {
		t.Errorf("saved: %+v, want %s", f, sum)
	}
	for name, s := range map[string]*session{"A": a, "B": b} {
		traffic := s.traffic.Bytes()
		for at := 0; at < len(data); at += len(data) / 16 {
			window := data[at : at+32]
			if bytes.Contains(traffic, window) {
				t.Errorf("%s: the bytes at %d were passed", name, at)
			}
			for shift := range 3 { // base64 of any alignment
				text := base64.StdEncoding.EncodeToString(append(make([]byte, shift), window...))
				if bytes.Contains(traffic, []byte(text[4:len(text)-4])) {
					t.Errorf("%s: the bytes at %d were passed in base64", name, at)
				}
			}
		}
		if len(traffic) > 16<<10 {
			t.Errorf("%s: %d bytes of protocol for a file", name, len(traffic))
		}
	}
}

// stalling is a proxy of a relay. It passes on a part of the first claim's answer,
// reports this and then stops.
type stalling struct {
	relay *httputil.ReverseProxy
	part  chan struct{} // closed when the part has been passed
	stall atomic.Bool
}

func (s *stalling) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/claim") && s.stall.CompareAndSwap(true, false) {
		w = &partWriter{ResponseWriter: w, left: 1 << 20, full: func() {
			close(s.part)
			<-r.Context().Done()
		}}
	}
	s.relay.ServeHTTP(w, r)
}

type partWriter struct {
	http.ResponseWriter
	left int
	full func()
}

func (p *partWriter) Write(b []byte) (int, error) {
	n, err := p.ResponseWriter.Write(b)
	if p.left -= n; p.left <= 0 && err == nil {
		_ = http.NewResponseController(p.ResponseWriter).Flush()
		p.full()
		return n, io.ErrClosedPipe
	}
	return n, err
}

// TestFaultsWhileSaving breaks the last claim of a kubbi at each place where it can
// break. The same claim, repeated, writes the whole payload, and counts once.
func TestFaultsWhileSaving(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs a shell that limits the size of files")
	}
	path, _, sum := newFile(t, 8<<20)
	for name, fault := range map[string]func(t *testing.T, start func(shell string, more ...string) *session, claim map[string]any, s *stalling){
		"the disk is full": func(t *testing.T, start func(string, ...string) *session, claim map[string]any, _ *stalling) {
			// Shells count blocks of 512 or 1024 bytes: both limits are below the size
			// of the file.
			r := start("ulimit -f 4000;").call(t, "claim", claim)
			if !r.IsError || !strings.Contains(r.text(), "claim again") {
				t.Errorf("%+v", r)
			}
		},
		"a folder has the file's name": func(t *testing.T, start func(string, ...string) *session, claim map[string]any, _ *stalling) {
			there := filepath.Join(claim["save_to"].(string), "build.bin")
			if err := os.MkdirAll(there, 0o700); err != nil {
				t.Fatal(err)
			}
			r := start("").call(t, "claim", claim)
			if !r.IsError || !strings.Contains(r.text(), "Nothing was claimed") {
				t.Errorf("%+v", r)
			}
			if err := os.Remove(there); err != nil {
				t.Fatal(err)
			}
		},
		"a folder that can't be written": func(t *testing.T, start func(string, ...string) *session, claim map[string]any, _ *stalling) {
			if _, err := os.Stat("/proc/self"); err != nil {
				return // it is the only folder that even root can't write in
			}
			other := map[string]any{"claim_url": claim["claim_url"], "save_to": "/proc"}
			r := start("", "--allow-dir", "/proc").call(t, "claim", other)
			if !r.IsError || !strings.Contains(r.text(), "Nothing was claimed") {
				t.Errorf("%+v", r)
			}
		},
		"kill -9 half way": func(t *testing.T, start func(string, ...string) *session, claim map[string]any, s *stalling) {
			s.stall.Store(true)
			b := start("")
			b.send(t, callLine(t, "claim", claim))
			<-s.part
			b.kill()
		},
	} {
		t.Run(name, func(t *testing.T) {
			relay := relaytest.New(t)
			origin, err := url.Parse(relay.URL)
			if err != nil {
				t.Fatal(err)
			}
			s := &stalling{part: make(chan struct{}), relay: httputil.NewSingleHostReverseProxy(origin)}
			proxy := httptest.NewServer(s)
			defer proxy.Close()
			client, err := kubbi.NewClient(relay.APIKey, kubbi.WithBaseURL(relay.URL))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			sent, err := client.SendFiles(t.Context(), kubbi.SendFilesParams{MaxRetrievals: 1, Sources: []kubbi.Source{{
				Name: "build.bin", ContentType: "application/octet-stream", Encoding: "base64", Size: info.Size(),
				Open: func() (io.ReadCloser, error) { return os.Open(path) },
			}}})
			if err != nil {
				t.Fatal(err)
			}
			data, top := t.TempDir(), t.TempDir()
			into := filepath.Join(top, "into")
			start := func(shell string, more ...string) *session {
				return start(t, shell, append([]string{"--data-dir", data, "--relay-url", testkit.FreeURL(t), "--allow-origin", proxy.URL, "--allow-dir", top}, more...)...)
			}
			claim := map[string]any{"claim_url": strings.Replace(sent.ClaimURL, relay.URL, proxy.URL, 1), "save_to": into}
			fault(t, start, claim, s)

			got := start("").call(t, "claim", claim)
			if got.IsError || checksum(t, filepath.Join(into, "build.bin")) != sum {
				t.Fatalf("claimed again: %+v", got)
			}
			entries, err := os.ReadDir(into)
			if err != nil || len(entries) != 1 {
				t.Errorf("in the folder: %v, %v", entries, err)
			}
			k, err := client.Get(t.Context(), sent.ID)
			if err != nil || k.RetrievalCount != 1 || k.Status != "burned" {
				t.Errorf("%+v, %v", k, err)
			}
			for _, name := range []string{"claims", "spool", "saves"} {
				left, err := os.ReadDir(filepath.Join(data, name))
				if err != nil {
					t.Error(err)
				}
				for _, e := range left {
					if b, _ := os.ReadFile(filepath.Join(data, name, e.Name())); name != "claims" || len(b) > 0 {
						t.Errorf("%s/%s is left", name, e.Name())
					}
				}
			}
		})
	}
}
