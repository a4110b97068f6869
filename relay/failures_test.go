package relay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"kubbi-mcp/internal/atrest"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay"
	"kubbi-mcp/relay/store"
	"kubbi-mcp/relay/store/sqlite"
)

// troubled is a real store with calls that fail.
type troubled struct {
	store.Store
	inspect func() error
	claim   func(c *store.Claimed) error
	create  func() error
	ping    error
	swept   chan struct{}
}

func (s *troubled) Create(ctx context.Context, k *store.Kubbi, payload io.Reader, key *store.CreateKey, quota store.Quota, now time.Time) (*store.Replay, error) {
	if s.create != nil {
		if err := s.create(); err != nil {
			return nil, err
		}
	}
	return s.Store.Create(ctx, k, payload, key, quota, now)
}

func (s *troubled) Inspect(ctx context.Context, h store.Token, now time.Time) (*store.Kubbi, error) {
	if s.inspect != nil {
		if err := s.inspect(); err != nil {
			return nil, err
		}
	}
	return s.Store.Inspect(ctx, h, now)
}

func (s *troubled) Claim(ctx context.Context, h store.Token, k *store.ClaimKey, opens []string, now time.Time) (*store.Claimed, error) {
	c, err := s.Store.Claim(ctx, h, k, opens, now)
	if err == nil && s.claim != nil {
		err = s.claim(c)
	}
	return c, err
}

func (s *troubled) Ping(ctx context.Context) error {
	if s.ping != nil {
		return s.ping
	}
	return s.Store.Ping(ctx)
}

func (s *troubled) Sweep(ctx context.Context, now time.Time, retention time.Duration, limit int) (store.Swept, error) {
	if s.swept != nil {
		select {
		case s.swept <- struct{}{}:
		case <-ctx.Done():
		}
		return store.Swept{}, errors.New("trouble")
	}
	return s.Store.Sweep(ctx, now, retention, limit)
}

const apiKey = "kb_test"

// newTroubled makes a relay over a store that may fail, and its log.
func newTroubled(t *testing.T) (*troubled, *relay.Relay, *httptest.Server, *lockedBuffer) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "kubbi.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := db.PutAPIKey(t.Context(), store.APIKey{Hash: relay.HashSecret(apiKey), Owner: "o", CreatedAt: start}); err != nil {
		t.Fatal(err)
	}
	ring, err := atrest.NewKeyring(zeros{}, start)
	if err != nil {
		t.Fatal(err)
	}
	logged := &lockedBuffer{}
	s := &troubled{Store: db}
	rl, err := relay.New(relay.Config{
		Store: s, Keyring: fixedKeyring{ring}, Origin: "https://relay.test/", Logger: slog.New(slog.NewTextHandler(logged, nil)),
		SweepEvery: 2 * time.Millisecond,
		OwnUser:    func(r *http.Request) bool { return r.Header.Get("X-Own-User") != "" },
	})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(rl)
	t.Cleanup(srv.Close)
	return s, rl, srv, logged
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func send(t *testing.T, srv *httptest.Server, method, path, body string, headers ...string) (answer, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+apiKey)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := srv.Client().Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, b}, err
}

func make1(t *testing.T, srv *httptest.Server, content string) api.CreateResponse {
	t.Helper()
	a, err := send(t, srv, "POST", api.PathKubbis, `{"content":"`+content+`","content_type":"text/plain","ttl_seconds":3600}`)
	if err != nil || a.status != http.StatusCreated {
		t.Fatalf("%v: %s", err, a.body)
	}
	var c api.CreateResponse
	decode(t, a.body, &c)
	return c
}

// TestStoreErrors checks what a client reads for each error of a store.
func TestStoreErrors(t *testing.T) {
	s, _, srv, logged := newTroubled(t)
	const inner = "inner-detail"
	for _, tc := range []struct {
		err    error
		code   api.Code
		logged bool
	}{
		{store.ErrNotFound, api.CodeNotFound, false},
		{store.ErrExpired, api.CodeExpired, false},
		{store.ErrBurned, api.CodeGone, false},
		{store.ErrDeleted, api.CodeGone, false},
		{store.ErrKeyReused, api.CodeConflict, false},
		{context.DeadlineExceeded, api.CodeUnavailable, false},
		{fmt.Errorf("%s: %w", inner, store.ErrUnavailable), api.CodeUnavailable, true},
		{errors.New(inner), api.CodeInternal, true},
		{fmt.Errorf("%s: %w", inner, store.ErrDamaged), api.CodeDamaged, true},
		{fmt.Errorf("%s: %w: 7 bytes", inner, store.ErrFull), api.CodeStorageFull, true},
	} {
		s.inspect = func() error { return tc.err }
		before := strings.Count(logged.String(), inner)
		a, err := send(t, srv, "GET", "/r/"+noToken, "")
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, a, tc.code, "")
		if strings.Contains(string(a.body), inner) {
			t.Errorf("%v: its text left: %s", tc.err, a.body)
		}
		if got := strings.Count(logged.String(), inner) > before; got != tc.logged {
			t.Errorf("%v: logged is %v", tc.err, got)
		}
		if got := a.header.Get("Retry-After") != ""; got != (tc.code == api.CodeUnavailable) {
			t.Errorf("%v: Retry-After is %q", tc.err, a.header.Get("Retry-After"))
		}
	}
	// Every code has the status of the reference.
	for code, status := range api.Statuses {
		w := httptest.NewRecorder()
		relay.WriteError(w, code, "m")
		if w.Code != status {
			t.Errorf("%s answers %d", code, w.Code)
		}
	}
}

// TestNumberInUse creates under numbers that are in use. The relay tries again if it has
// the payload in memory; otherwise the client must.
func TestNumberInUse(t *testing.T) {
	s, _, srv, _ := newTroubled(t)
	size := int64(9 << 20)
	long := rawBody(t, api.RawCreate{ContentType: api.TypeText, ContentBytes: &size, TTLSeconds: 60}, strings.Repeat("x", 9<<20))
	for _, tc := range []struct {
		name, body, mediaType string
		inUse                 int // how often
		want                  int
	}{
		{"JSON", small, api.TypeJSON, 3, http.StatusCreated},
		{"JSON, always", small, api.TypeJSON, 1000, http.StatusServiceUnavailable},
		{"raw, long", long, api.TypeRaw, 1, http.StatusServiceUnavailable},
		{"raw, long, at once", long, api.TypeRaw, 0, http.StatusCreated},
	} {
		tries := 0
		s.create = func() error {
			if tries++; tries <= tc.inUse {
				return store.ErrExists
			}
			return nil
		}
		a, err := send(t, srv, "POST", api.PathKubbis, tc.body, "Content-Type", tc.mediaType)
		if err != nil {
			t.Fatal(err)
		}
		if a.status != tc.want || (a.status == http.StatusServiceUnavailable) != (a.header.Get("Retry-After") != "") || tries > 20 {
			t.Errorf("%s: %d %v %s after %d tries", tc.name, a.status, a.header, a.body, tries)
		}
		if tc.want != http.StatusCreated {
			continue
		}
		var c api.CreateResponse
		decode(t, a.body, &c)
		if a, err := send(t, srv, "POST", "/r/"+c.ClaimToken+"/claim", ""); err != nil || a.status != 200 {
			t.Errorf("%s: claim: %d, %v", tc.name, a.status, err)
		}
	}
}

// TestFullDisk checks that every client reads the figures of a full disk, and only the
// relay's own user its path.
func TestFullDisk(t *testing.T) {
	s, _, srv, logged := newTroubled(t)
	for err, want := range map[error]string{
		fmt.Errorf("/var/x: %w: 5.0 MiB are free and 32.0 MiB are kept in reserve for claims and deletes: make room on the disk of /var/x", store.ErrFull): "the relay's disk is full: 5.0 MiB are free and 32.0 MiB are kept in reserve for claims and deletes",
		fmt.Errorf("/var/x: %w: %w", store.ErrFull, errors.New("could not extend file base/1")):                                                            "the relay's disk is full",
		store.ErrFull: "the relay's disk is full",
	} {
		s.create = func() error { return err }
		for _, own := range []string{"", "1"} {
			a, serr := send(t, srv, "POST", api.PathKubbis, small, "X-Own-User", own)
			if serr != nil {
				t.Fatal(serr)
			}
			var e api.ErrorBody
			decode(t, a.body, &e)
			told := strings.Contains(string(a.body), err.Error())
			if a.status != http.StatusInsufficientStorage || e.Error != api.CodeStorageFull || e.Message != want || told != (own != "") || a.header.Get("Retry-After") != "" {
				t.Errorf("%v, own %q: %d %s", err, own, a.status, a.body)
			}
			if own == "" && strings.Contains(string(a.body), "/") {
				t.Errorf("a path is told: %s", a.body)
			}
		}
	}
	if !strings.Contains(logged.String(), "make room on the disk of /var/x") {
		t.Errorf("logged: %s", logged)
	}
}

// TestOwnUserIsTold checks that only the relay's own user reads why the store failed.
func TestOwnUserIsTold(t *testing.T) {
	s, rl, _, _ := newTroubled(t)
	const inner = "inner-detail"
	for err, told := range map[error]bool{
		fmt.Errorf("%s: %w", inner, store.ErrUnavailable): true,
		errors.New(inner):        true,
		store.ErrNotFound:        false,
		context.DeadlineExceeded: false,
	} {
		s.inspect = func() error { return err }
		for _, own := range []bool{false, true} {
			req := httptest.NewRequest("GET", "/r/"+noToken, nil)
			if own {
				req.Header.Set("X-Own-User", "1")
			}
			w := httptest.NewRecorder()
			rl.ServeHTTP(w, req)
			if got := strings.Contains(w.Body.String(), inner); got != (own && told) {
				t.Errorf("%v, own %v: %s", err, own, w.Body)
			}
			if strings.Contains(w.Body.String(), noToken) {
				t.Error("the token is told")
			}
		}
	}
}

func TestPanic(t *testing.T) {
	s, _, srv, logged := newTroubled(t)
	for _, what := range []any{"secret-word", errors.New("secret-word"), nil} {
		s.inspect = func() error {
			if what == nil {
				_ = make([]int, 1)[len(noToken)]
			}
			panic(what)
		}
		a, err := send(t, srv, "GET", "/r/"+noToken, "")
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, a, api.CodeInternal, "")
	}
	out := logged.String()
	if strings.Contains(out, "secret-word") || strings.Contains(out, noToken) {
		t.Error("the log holds what the handler panicked with")
	}
	if strings.Count(out, "handler panicked") != 3 || !strings.Contains(out, "index out of range") || !strings.Contains(out, "inspect.go") {
		t.Errorf("panics are not logged: %s", out)
	}
}

func TestDegraded(t *testing.T) {
	s, _, srv, _ := newTroubled(t)
	s.ping = errors.New("trouble")
	a, err := send(t, srv, "GET", "/health", "")
	if err != nil {
		t.Fatal(err)
	}
	var h api.Health
	decode(t, a.body, &h)
	if a.status != 503 || h.Status != "degraded" || h.Database != "unreachable" || h.Timestamp.IsZero() {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestPayloadTrouble breaks a payload on its way out of the store. No answer that is cut
// or changed may look whole.
func TestPayloadTrouble(t *testing.T) {
	s, _, srv, logged := newTroubled(t)
	long := strings.Repeat("x", 3<<20)
	edit := func(f func(sealed []byte) io.Reader) func(*store.Claimed) error {
		return func(c *store.Claimed) error {
			b, err := io.ReadAll(c.Payload)
			if err != nil {
				return err
			}
			c.Payload = edited{f(b), c.Payload}
			return nil
		}
	}
	const second = atrest.ChunkSize + 100 // a place in the second chunk
	flip := func(at int) func(*store.Claimed) error {
		return edit(func(b []byte) io.Reader { b[at] ^= 1; return bytes.NewReader(b) })
	}
	cut := func(at int) func(*store.Claimed) error {
		return edit(func(b []byte) io.Reader { return bytes.NewReader(b[:at]) })
	}
	fail := func(at int) func(*store.Claimed) error {
		return edit(func(b []byte) io.Reader {
			return io.MultiReader(bytes.NewReader(b[:at]), iotest.ErrReader(errors.New("disk trouble")))
		})
	}
	longer := edit(func(b []byte) io.Reader { return bytes.NewReader(append(b, 0)) })
	troubles := 0
	for _, tc := range []struct {
		name, content string
		claim         func(*store.Claimed) error
		begun         bool // the answer has begun before the fault
		code          api.Code
	}{
		{"short flipped", "x", flip(12), false, api.CodeDamaged},
		{"short dropped", "x", cut(0), false, api.CodeDamaged},
		{"short cut", "x", cut(20), false, api.CodeDamaged},
		{"short failed", "x", fail(3), false, api.CodeInternal},
		{"short and more", "x", longer, false, api.CodeDamaged},
		{"long flipped at once", long, flip(100), false, api.CodeDamaged},
		{"long flipped later", long, flip(second), true, ""},
		{"long cut", long, cut(len(long)), true, ""},
		{"long and more", long, longer, true, ""},
		{"long failed", long, fail(second), true, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, accept := range []string{"", api.TypeRaw} {
				troubles++
				c := make1(t, srv, tc.content)
				s.claim = tc.claim
				a, err := send(t, srv, "POST", "/r/"+c.ClaimToken+"/claim", "", "Accept", accept)
				s.claim = nil
				if tc.begun {
					if err == nil {
						t.Errorf("a broken answer looks whole: %d, %d bytes", a.status, len(a.body))
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				wantError(t, a, tc.code, "")
			}
		})
	}
	if out := logged.String(); strings.Count(out, "request failed") != troubles || !strings.Contains(out, "disk trouble") {
		t.Errorf("troubles are not logged: %s", out)
	}
}

// edited is a payload that a test has changed.
type edited struct {
	io.Reader
	io.Closer
}

func TestRunSweepsUntilItsEnd(t *testing.T) {
	s, rl, _, _ := newTroubled(t)
	s.swept = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- rl.Run(ctx) }()
	for range 3 { // it goes on after a sweep that fails
		<-s.swept
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestRevokedKey(t *testing.T) {
	s, _, srv, _ := newTroubled(t)
	const revoked = "kb_revoked"
	if err := s.PutAPIKey(t.Context(), store.APIKey{Hash: relay.HashSecret(revoked), Owner: "o", CreatedAt: start, RevokedAt: start}); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest("GET", srv.URL+api.PathKubbis, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+revoked)
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 401 {
		t.Errorf("revoked key: %s", resp.Status)
	}
}

func TestOwnersAreApart(t *testing.T) {
	s, _, srv, _ := newTroubled(t)
	c := make1(t, srv, "x")
	if err := s.PutAPIKey(t.Context(), store.APIKey{Hash: relay.HashSecret("kb_other"), Owner: "p", CreatedAt: start}); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(c.ClaimURL, "https://relay.test/r/") {
		t.Errorf("claim URL %q", c.ClaimURL[:20])
	}
	for _, method := range []string{"GET", "DELETE"} {
		req, err := http.NewRequest(method, srv.URL+api.PathKubbi+c.ID, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer kb_other")
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 404 {
			t.Errorf("%s of someone else's: %s", method, resp.Status)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	ring, err := atrest.NewKeyring(zeros{}, start)
	if err != nil {
		t.Fatal(err)
	}
	s := &troubled{}
	for name, cfg := range map[string]relay.Config{
		"store":    {Keyring: fixedKeyring{ring}, Origin: "http://x"},
		"keyring":  {Store: s, Origin: "http://x"},
		"origin":   {Store: s, Keyring: fixedKeyring{ring}},
		"scheme":   {Store: s, Keyring: fixedKeyring{ring}, Origin: "ftp://x"},
		"path":     {Store: s, Keyring: fixedKeyring{ring}, Origin: "http://x/path"},
		"query":    {Store: s, Keyring: fixedKeyring{ring}, Origin: "http://x?q"},
		"userinfo": {Store: s, Keyring: fixedKeyring{ring}, Origin: "http://u:p@x"},
	} {
		if _, err := relay.New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
