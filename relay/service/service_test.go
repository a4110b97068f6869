package service

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kubbi-mcp/internal/keyring"
	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/sqlite"
)

// patience ends a wait that would never end.
const patience = time.Minute

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// served is a service that runs.
type served struct {
	*Service
	t       *testing.T
	url     string
	metrics string
	key     string // an API key
	db      store.Store
	ring    keyring.File
	stop    context.CancelFunc
	ended   chan error // gets one, which wait puts back
	log     *lines
	client  *http.Client
}

// lines is what was logged.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// serve starts a service over a new store. change may change its configuration first.
func serve(t *testing.T, change func(*Config)) *served {
	t.Helper()
	ctx := t.Context()
	s := &served{t: t, ended: make(chan error, 1), log: &lines{}, key: "kb_of-the-test"}
	log := slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	dir := t.TempDir()
	s.ring = keyring.File(filepath.Join(dir, "keyring.json"))
	if err := keyring.Make(s.ring, rand.Reader, time.Now()); err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(dir, "kubbi.db"), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	s.db = db
	t.Cleanup(func() { _ = db.Close() }) // a test may have closed it
	ring, err := keyring.Open(ctx, keyring.Config{Source: s.ring, Needs: db.MasterKeys, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.PutAPIKey(ctx, store.APIKey{Hash: relay.HashSecret(s.key), Owner: "test", CreatedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	l, scrape := listen(t), listen(t)
	s.url, s.metrics = "http://"+l.Addr().String(), "http://"+scrape.Addr().String()
	cfg := Config{Relay: relay.Config{Store: db, Origin: s.url, AccessLog: true, Logger: log}, Keyring: ring, Version: "v0"}
	cfg.Limits.LameDuck = time.Millisecond
	if change != nil {
		change(&cfg)
	}
	if s.Service, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(context.Background())
	s.stop = stop
	transport := &http.Transport{}
	s.client = &http.Client{Transport: transport}
	go func() { s.ended <- s.Serve(running, l, scrape) }()
	t.Cleanup(func() {
		stop()
		s.wait()
		transport.CloseIdleConnections()
	})
	return s
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// wait waits for the service to end without an error.
func (s *served) wait() {
	s.t.Helper()
	select {
	case err := <-s.ended:
		s.ended <- err
		if err != nil {
			s.t.Errorf("serve: %v", err)
		}
	case <-time.After(patience):
		s.t.Fatalf("the service does not end:\n%s", s.log)
	}
}

// call sends a request, with the API key, and gives status and body.
func (s *served) call(method, url, body string) (status int, text string) {
	s.t.Helper()
	resp, err := s.send(method, url, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func (s *served) send(method, url string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(s.t.Context(), method, url, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	return s.client.Do(req)
}

const small = `{"content":"p4yload","content_type":"text/plain","ttl_seconds":60}`

// slowBody is a create's body that comes in two halves, the second when it is
// asked for.
func slowBody() (body io.Reader, begun <-chan struct{}, finish func()) {
	r, w := io.Pipe()
	first, second := make(chan struct{}), make(chan struct{})
	go func() {
		_, _ = io.WriteString(w, small[:20])
		close(first)
		<-second
		_, _ = io.WriteString(w, small[20:])
		_ = w.Close()
	}()
	return r, first, sync.OnceFunc(func() { close(second) })
}

// TestDrain stops a service in the middle of a request: who watches it is told
// at once, new requests are served for a while, and the one that runs ends well.
func TestDrain(t *testing.T) {
	s := serve(t, func(c *Config) { c.Limits.LameDuck = 500 * time.Millisecond })
	if status, text := s.call("GET", s.url+"/readyz", ""); status != 200 || !strings.Contains(text, `"status":"ready"`) {
		t.Fatalf("readyz: %d %s", status, text)
	}
	body, begun, finish := slowBody()
	defer finish()
	created := make(chan error, 1)
	go func() {
		resp, err := s.send("POST", s.url+api.PathKubbis, body)
		if err == nil {
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusCreated {
				err = fmt.Errorf("status %s", resp.Status)
			}
		}
		created <- err
	}()
	<-begun
	testkit.Await(t, "the request runs", func() bool { return len(s.running) == 1 })
	s.stop()
	testkit.Await(t, "not ready", func() bool {
		status, text := s.call("GET", s.metrics+"/readyz", "")
		return status == 503 && strings.Contains(text, `"process":"about to stop"`)
	})
	if status, text := s.call("POST", s.url+api.PathKubbis, small); status != http.StatusCreated {
		t.Errorf("a request while the service is about to stop: %d %s", status, text)
	}
	testkit.Await(t, "the listener is closed", func() bool {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	finish()
	if err := <-created; err != nil {
		t.Errorf("the request that ran: %v", err)
	}
	s.wait()
}

// TestDrainEnds cancels a request that does not end in time.
func TestDrainEnds(t *testing.T) {
	s := serve(t, func(c *Config) { c.Limits.Drain = 50 * time.Millisecond })
	body, begun, finish := slowBody()
	defer finish()
	failed := make(chan error, 1)
	go func() {
		resp, err := s.send("POST", s.url+api.PathKubbis, body)
		if err == nil {
			resp.Body.Close()
		}
		failed <- err
	}()
	<-begun
	testkit.Await(t, "the request runs", func() bool { return len(s.running) == 1 })
	s.stop()
	s.wait()
	finish()
	<-failed
	if log := s.log.String(); !strings.Contains(log, "requests are cancelled") {
		t.Errorf("logged: %s", log)
	}
	if _, err := s.db.Stats(t.Context()); err != nil {
		t.Errorf("the store: %v", err)
	}
}

// TestReady says what is wrong with a service.
func TestReady(t *testing.T) {
	s := serve(t, nil)
	if status, text := s.call("POST", s.url+api.PathKubbis, small); status != http.StatusCreated {
		t.Fatalf("create: %d %s", status, text)
	}
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	testkit.Await(t, "the store is seen to be gone", func() bool {
		status, text := s.call("GET", s.url+"/readyz", "")
		return status == 503 && strings.Contains(text, `"store":"unreachable"`) && strings.Contains(text, `"keyring":"not known"`)
	})
	if log := s.log.String(); strings.Count(log, "relay is not ready for requests") != 1 {
		t.Errorf("logged: %s", log)
	}
	if status, _ := s.call("GET", s.url+"/livez", ""); status != 200 {
		t.Errorf("livez: %d", status)
	}
	if status, text := s.call("GET", s.metrics+"/metrics", ""); status != 200 || !strings.Contains(text, "kubbi_relay_store_up 0\n") {
		t.Errorf("metrics without a store: %d %s", status, text)
	}
}

// TestReadyKeys is not ready while another relay seals with a key that this one
// does not have.
func TestReadyKeys(t *testing.T) {
	s := serve(t, nil)
	const foreign, foreignID = "0123456789abcdef", "01a20e51-b2b3-78f9-8003-d25e59a95fb1"
	now := time.Now()
	_, number, err := store.ParseID(foreignID)
	if err != nil {
		t.Fatal(err)
	}
	k := &store.Kubbi{
		ID: foreignID, Owner: "test", Token: store.Token{Number: number, Hash: relay.HashSecret("t")}, MasterKey: foreign, Secret: store.Secret{1}, Record: []byte("x"),
		ContentType: "text/plain", Size: 1, CreatedAt: now, ExpiresAt: now.Add(time.Hour),
	}
	if _, err := s.db.Create(t.Context(), k, strings.NewReader("x"), nil, store.Quota{}, now); err != nil {
		t.Fatal(err)
	}
	lacks := func() bool {
		status, text := s.call("GET", s.url+"/readyz", "")
		return status == 503 && strings.Contains(text, `"keyring":"lacks a key that the store needs"`)
	}
	testkit.Await(t, "it lacks the key", lacks)
	if log := s.log.String(); !strings.Contains(log, foreign) {
		t.Errorf("the log does not say which: %s", log)
	}
	if _, err := s.db.Delete(t.Context(), "test", k.ID, now); err != nil {
		t.Fatal(err)
	}
	testkit.Await(t, "it is ready again", func() bool {
		status, _ := s.call("GET", s.url+"/readyz", "")
		return status == 200
	})
	testkit.Await(t, "that is logged", func() bool { return strings.Contains(s.log.String(), "ready for requests again") })
}

// TestMetricsElsewhere keeps the metrics from whoever can reach the relay.
func TestMetricsElsewhere(t *testing.T) {
	s := serve(t, nil)
	if status, _ := s.call("GET", s.url+"/metrics", ""); status != 404 {
		t.Errorf("metrics at the relay's own address: %d", status)
	}
	if status, _ := s.call("GET", s.metrics+api.PathKubbis, ""); status != 404 {
		t.Errorf("the API at the address of the metrics: %d", status)
	}
}
