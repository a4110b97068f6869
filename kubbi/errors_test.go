package kubbi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/kubbi/api"
)

func sentinels() []error {
	return []error{ErrValidation, ErrUnauthorized, ErrNotFound, ErrConflict, ErrExpired, ErrGone,
		ErrRateLimited, ErrQuotaExceeded, ErrNetwork, ErrOrigin}
}

func wantOnly(t *testing.T, err, want error) {
	t.Helper()
	for _, s := range sentinels() {
		if got := errors.Is(err, s); got != (s == want) {
			t.Errorf("errors.Is(%v, %v) = %v", err, s, got)
		}
	}
}

// Every code of the wire means the same to the client as to the server.
func TestErrorVocabulary(t *testing.T) {
	want := map[api.Code]error{
		api.CodeValidation:       ErrValidation,
		api.CodeTooLarge:         ErrValidation,
		api.CodeUnauthorized:     ErrUnauthorized,
		api.CodeNotFound:         ErrNotFound,
		api.CodeConflict:         ErrConflict,
		api.CodeExpired:          ErrExpired,
		api.CodeGone:             ErrGone,
		api.CodeRateLimited:      ErrRateLimited,
		api.CodeQuotaExceeded:    ErrQuotaExceeded,
		api.CodeInternal:         nil,
		api.CodeNotImplemented:   nil,
		api.CodeMethodNotAllowed: nil,
		api.CodeUnavailable:      nil,
		api.CodeStorageFull:      nil,
		api.CodeDamaged:          nil,
	}
	for code, status := range api.Statuses {
		t.Run(string(code), func(t *testing.T) {
			sentinel, known := want[code]
			if !known {
				t.Fatalf("code %s has no entry in this test", code)
			}
			c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body := api.ErrorBody{Error: code, Message: "words for people"}
				if code == api.CodeValidation {
					body.Messages = []string{"ttl_seconds must be at least 60", "files is empty"}
				}
				answer(w, status, body)
			}, WithRetries(0))
			_, err := c.Get(context.Background(), testID)
			wantOnly(t, err, sentinel)
			e := asError(t, err)
			if e.Status != status || e.Code != code || e.Message != "words for people" {
				t.Errorf("error is %+v", e)
			}
			for _, part := range append([]string{string(code), "words for people"}, e.Messages...) {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			if code == api.CodeValidation && len(e.Messages) != 2 {
				t.Errorf("messages are %q, want both", e.Messages)
			}
		})
	}
}

// An answer that is not the API's gives an error with its status and the fault, which quotes
// nothing of it.
func TestForeignAnswers(t *testing.T) {
	const marker = "marker-of-the-body"
	tests := []struct {
		name   string
		status int
		body   string
		is     error
		says   string
	}{
		{"html 404", 404, "<html>" + marker, nil, "not JSON"},
		{"html 410", 410, "<html>" + marker, nil, "not JSON"},
		{"html 413", 413, "<html>" + marker, ErrValidation, "not JSON"},
		{"html 401", 401, "<html>" + marker, ErrUnauthorized, "not JSON"},
		{"html 429", 429, "<html>" + marker, ErrRateLimited, "not JSON"},
		{"html 500", 500, "<html>" + marker, nil, "not JSON"},
		{"empty 404", 404, "", nil, "empty"},
		{"number 404", 404, "17", nil, "not JSON"},
		{"nginx-like JSON", 404, `{"error":{"` + marker + `":1}}`, nil, "not JSON"},
		{"strange code", 404, `{"error":"Not Found \u001b","message":"` + marker + `"}`, nil, "not JSON of the kind"},
		{"no message", 404, `{"error":"not_found"}`, ErrNotFound, "not found"},
		{"large error", 404, `{"error":"not_found","message":"` + strings.Repeat(marker, 9000) + `"}`, nil, "larger than the limit"},
		{"html 200", 200, "<html>" + marker, nil, "not JSON"},
		{"array 200", 200, `["` + marker + `"]`, nil, "not JSON"},
		{"two values 200", 200, `{"id":"` + testID + `"}{}`, nil, "not JSON"},
		{"wrong type 200", 200, `{"id":{"` + marker + `":1}}`, nil, "not JSON"},
		{"invalid UTF-8 200", 200, "{\"id\":\"\xff\"}", nil, "not JSON"},
		{"empty object 200", 200, `{}`, nil, "lacks"},
		{"cut JSON 200", 200, `{"id":"` + testID, ErrNetwork, "cut short"},
		{"large 200", 200, `{"id":"` + strings.Repeat(marker, 1<<18) + `"}`, nil, "larger than the limit"},
		{"empty 200", 200, "", nil, "empty"},
		{"not modified", 304, "", nil, "empty"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(tt.status)
				w.Write([]byte(tt.body))
			}, WithRetries(0))
			_, err := c.Get(context.Background(), testID)
			wantOnly(t, err, tt.is)
			if e := asError(t, err); e.Status != tt.status || !strings.Contains(e.Error(), tt.says) {
				t.Errorf("error is %v, want status %d and %q", err, tt.status, tt.says)
			}
			wantNone(t, "error", err.Error(), marker, "\x1b")
		})
	}
}

// A server's text is shown without secrets and control characters, and cut short.
func TestServerTextIsCleaned(t *testing.T) {
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		text := "no " + testToken + " for " + r.Header.Get(api.HeaderIdempotencyKey) + "\x1b[31m\u202e" + strings.Repeat("é", 300)
		answer(w, 400, api.ErrorBody{Error: api.CodeValidation, Message: text, Messages: func() []string {
			ms := make([]string, 60)
			for i := range ms {
				ms[i] = text
			}
			return ms
		}()})
	})
	_, err := c.Claim(context.Background(), testToken, looked())
	e := asError(t, err)
	if e.Message == "" || len(e.Message) > maxMessage+3 || len(e.Messages) > maxMessages {
		t.Errorf("message of %d bytes, %d messages", len(e.Message), len(e.Messages))
	}
	wantNone(t, "error", err.Error(), testToken, "\x1b", "\u202e", "\uFFFD")
	if strings.Count(e.Message, "[redacted]") != 2 {
		t.Errorf("want token and key redacted: %s", e.Message)
	}
}

// Errors quote nothing of an answer that is not HTTP, or that quotes the request.
func TestBrokenHTTP(t *testing.T) {
	for name, raw := range map[string]string{
		"status line": "/r/" + testToken + " is not HTTP\r\n\r\n",
		"header":      "HTTP/1.1 200 OK\r\n/r/" + testToken + "\r\n\r\n",
		"length":      "HTTP/1.1 200 OK\r\nContent-Length: " + testToken + "\r\n\r\n",
		"encoding":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + testToken + "\r\n\r\n",
		"location":    "HTTP/1.1 302 Found\r\nLocation: ://" + testToken + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			l, logged := logger()
			c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
				conn, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					panic(err)
				}
				conn.Write([]byte(raw))
				conn.Close()
			}, WithLogger(l))
			_, err := c.Inspect(context.Background(), testToken)
			if err == nil {
				t.Fatal("no error")
			}
			text := logged()
			for e := err; e != nil; e = errors.Unwrap(e) {
				text += e.Error()
			}
			wantNone(t, "error or log", text, testToken)
		})
	}
}

func TestNetworkError(t *testing.T) {
	c := newTest(t, "http://127.0.0.1:1") // nothing listens there
	_, err := c.Inspect(context.Background(), testToken)
	wantOnly(t, err, ErrNetwork)
	e := asError(t, err)
	if e.Status != 0 || e.Uncertain || !strings.Contains(err.Error(), "no answer from http://127.0.0.1:1: ") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("error is %v", err)
	}
	wantNone(t, "error", err.Error(), testToken)
	// Nothing was sent, so nothing can have happened.
	if _, err := c.Claim(context.Background(), testToken, looked()); asError(t, err).Uncertain {
		t.Errorf("a claim without a connection is uncertain: %v", err)
	}
}

func TestContextEnds(t *testing.T) {
	block := make(chan struct{})
	defer close(block)
	started := make(chan struct{}, 10)
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		started <- struct{}{}
		select {
		case <-block:
		case <-r.Context().Done():
		}
	})
	t.Run("cancelled before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, err := c.Get(ctx, testID)
		if !errors.Is(err, context.Canceled) || errors.Is(err, ErrNetwork) || len(started) != 0 {
			t.Errorf("%v after %d requests", err, len(started))
		}
	})
	t.Run("cancelled meanwhile", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		go func() { <-started; cancel() }()
		_, err := c.Get(ctx, testID)
		if !errors.Is(err, context.Canceled) || errors.Is(err, ErrNetwork) || asError(t, err).Uncertain {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("claim cancelled meanwhile", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		go func() { <-started; cancel() }()
		_, err := c.Claim(ctx, testToken, looked())
		if !errors.Is(err, context.Canceled) || errors.Is(err, ErrNetwork) || !asError(t, err).Uncertain {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		_, err := c.Get(ctx, testID)
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrNetwork) {
			t.Errorf("error is %v", err)
		}
	})
}
