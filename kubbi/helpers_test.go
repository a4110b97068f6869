package kubbi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kubbi-mcp/kubbi/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testToken has the form of the relay's tokens.
const testToken = "Zm9yLXRlc3RzLW9ubHktbm90LWEtc2VjcmV0LTEyMzQ"

const testID = "6f1f6f0e-3c1b-4d6f-9d5e-0c6b1c2d3e4f"

// newTest makes a client of a test server. It waits a millisecond where others wait a
// second.
func newTest(t testing.TB, url string, opts ...Option) *Client {
	t.Helper()
	c, err := NewClient("kb_test-key", append([]Option{WithBaseURL(url)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	c.backoff = time.Millisecond
	c.service.asked.Store(true) // a test of JSON is not asked for /health
	t.Cleanup(func() { c.Close() })
	return c
}

// serve starts a server and makes a client of it.
func serve(t testing.TB, h http.HandlerFunc, opts ...Option) (*Client, *httptest.Server) {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return newTest(t, srv.URL, opts...), srv
}

// seen is what a server saw.
type seen struct {
	mu   sync.Mutex
	reqs []seenRequest
}

type seenRequest struct {
	method, path, query, body string
	header                    http.Header
	length                    int64
}

func (s *seen) add(r *http.Request) int {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reqs = append(s.reqs, seenRequest{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, string(body), r.Header.Clone(), r.ContentLength})
	return len(s.reqs)
}

func (s *seen) all() []seenRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]seenRequest(nil), s.reqs...)
}

// answer writes v as the API would.
func answer(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", api.TypeJSON)
	w.WriteHeader(status)
	w.Write(b)
}

func refuse(w http.ResponseWriter, code api.Code, message string) {
	answer(w, api.Statuses[code], api.ErrorBody{Error: code, Message: message})
}

// cut ends the connection without an answer.
func cut() { panic(http.ErrAbortHandler) }

var (
	okSent    = api.CreateResponse{ID: testID, ClaimURL: "https://api.kubbi.ai/r/" + testToken, ClaimToken: testToken, Status: api.StatusActive}
	okKubbi   = api.Kubbi{ID: testID, Status: api.StatusActive, ContentType: api.TypeText}
	okInspect = api.InspectResponse{Status: api.StatusActive, ContentType: api.TypeText}
	okClaim   = api.ClaimResponse{Content: json.RawMessage(`"hello"`), ContentType: api.TypeText}
)

// looked lets a test claim without an inspect before it.
func looked() ClaimOption { return WithInspected(new(Inspected)) }

func asError(t testing.TB, err error) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %T (%v), want *Error", err, err)
	}
	return e
}

// logger collects everything that is logged, at every level.
func logger() (*slog.Logger, func() string) {
	var (
		mu sync.Mutex
		b  bytes.Buffer
	)
	w := writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return b.Write(p)
	})
	l := slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug - 100}))
	return l, func() string {
		mu.Lock()
		defer mu.Unlock()
		return b.String()
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func wantNone(t testing.TB, what, text string, secrets ...string) {
	t.Helper()
	for _, s := range secrets {
		if s != "" && strings.Contains(text, s) {
			t.Errorf("%s holds a secret (%.12s...): %s", what, s, text)
		}
	}
}
