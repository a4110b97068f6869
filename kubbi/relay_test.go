package kubbi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/relaytest"
)

// start starts a relay, and makes clients of it: over HTTP with the key, and within the
// process without one.
func start(t *testing.T, opts ...kubbi.Option) (*relaytest.Server, map[string]*kubbi.Client) {
	t.Helper()
	relay := relaytest.New(t)
	clients := map[string]*kubbi.Client{}
	for name, extra := range map[string][]kubbi.Option{
		"http":    nil,
		"process": {kubbi.WithMiddleware(relay.Local.RoundTripper)},
	} {
		key := relay.APIKey
		if name == "process" {
			key = ""
		}
		c, err := kubbi.NewClient(key, append(append([]kubbi.Option{kubbi.WithBaseURL(relay.URL)}, extra...), opts...)...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		clients[name] = c
	}
	return relay, clients
}

// Our relay filters by itself.
func TestListOfOneStatus(t *testing.T) {
	_, clients := start(t)
	ctx := t.Context()
	for name, c := range clients {
		var want []string
		for i := range 5 {
			s, err := c.Send(ctx, kubbi.SendParams{Content: "x"})
			if err != nil {
				t.Fatal(err)
			}
			if i%2 == 0 {
				if _, err := c.Delete(ctx, s.ID); err != nil {
					t.Fatal(err)
				}
				want = append([]string{s.ID}, want...)
			}
		}
		page, err := c.List(ctx, kubbi.ListParams{Limit: 2, Status: api.StatusDeleted})
		if err != nil || page.Pagination.Total%3 != 0 || len(page.Kubbis) != 2 || page.Kubbis[0].ID != want[0] || page.Kubbis[1].ID != want[1] {
			t.Errorf("%s: %+v, %v, want %v", name, page, err, want[:2])
		}
	}
}

// Every kind of payload comes out as it went in, by every way.
func TestRoundTrip(t *testing.T) {
	_, clients := start(t)
	ctx := t.Context()
	big := strings.Repeat("0123456789abcdef", 1<<16)
	for name, c := range clients {
		for _, tt := range []struct {
			content any
			typ     string
			want    string // JSON
		}{
			{"héllo \u2028 \x00 \"quoted\"", "", `"héllo \u2028 \u0000 \"quoted\""`},
			{"", "", `""`},
			{big, api.TypeCSV, `"` + big + `"`},
			{map[string]any{"a": []any{1.5, nil, true}}, "", `{"a":[1.5,null,true]}`},
			{jsontext.Value(`null`), "", `null`},
			{json.RawMessage(`{"big":123456789012345678901234567890}`), "", `{"big":123456789012345678901234567890}`},
			{"text as JSON", api.TypeJSON, `"text as JSON"`},
		} {
			sent, err := c.Send(ctx, kubbi.SendParams{Content: tt.content, ContentType: tt.typ, MaxRetrievals: 2, Metadata: map[string]string{"k": "v"}})
			if err != nil {
				t.Errorf("%s: send: %v", name, err)
				continue
			}
			if sent.Status != api.StatusActive || *sent.MaxRetrievals != 2 || string(sent.Metadata) != `{"k":"v"}` || time.Until(sent.ExpiresAt.Time) < 50*time.Minute {
				t.Errorf("%s: sent %+v", name, sent)
			}
			look, err := c.Inspect(ctx, sent.ClaimURL)
			if err != nil || look.RetrievalCount != 0 || look.ContentType != sent.ContentType {
				t.Errorf("%s: inspect: %+v, %v", name, look, err)
			}
			for left := 1; left >= 0; left-- {
				got, err := c.Claim(ctx, sent.ClaimURL)
				if err != nil {
					t.Errorf("%s: claim: %v", name, err)
					break
				}
				var have, want any
				if json.Unmarshal(got.Content, &have) != nil || json.Unmarshal([]byte(tt.want), &want) != nil || !reflect.DeepEqual(have, want) {
					t.Errorf("%s: claimed %.100s, want %.100s", name, got.Content, tt.want)
				}
				if !got.RemainingKnown || got.Remaining == nil || *got.Remaining != left || got.Burned != (left == 0) {
					t.Errorf("%s: %d left: claimed %+v", name, left, got)
				}
			}
			_, err = c.Claim(ctx, sent.ClaimToken)
			if !errors.Is(err, kubbi.ErrGone) {
				t.Errorf("%s: a third claim: %v", name, err)
			}
			k, err := c.Get(ctx, sent.ID)
			if err != nil || k.Status != api.StatusBurned || k.RetrievalCount != 2 || k.FirstRetrievedAt == nil {
				t.Errorf("%s: get: %+v, %v", name, k, err)
			}
		}
	}
}

func TestUnlimitedRetrievals(t *testing.T) {
	_, clients := start(t)
	for name, c := range clients {
		sent, err := c.Send(t.Context(), kubbi.SendParams{Content: "x"})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			got, err := c.Claim(t.Context(), sent.ClaimURL)
			if err != nil || !got.RemainingKnown || got.Remaining != nil || got.Burned {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
	}
}

// Each way for a kubbi to end, and each refusal, has its own error.
func TestEnds(t *testing.T) {
	relay, clients := start(t)
	ctx := t.Context()
	for name, c := range clients {
		send := func() *api.CreateResponse {
			sent, err := c.Send(ctx, kubbi.SendParams{Content: "x", TTL: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			return sent
		}
		want := func(what string, err, sentinel error) {
			t.Helper()
			if !errors.Is(err, sentinel) {
				t.Errorf("%s: %s: %v, want %v", name, what, err, sentinel)
			}
		}
		deleted := send()
		if d, err := c.Delete(ctx, deleted.ID); err != nil || d.ID != deleted.ID || d.Status != api.StatusDeleted {
			t.Errorf("%s: delete: %+v, %v", name, d, err)
		}
		_, err := c.Delete(ctx, deleted.ID)
		want("delete again", err, kubbi.ErrConflict)
		_, err = c.Claim(ctx, deleted.ClaimURL)
		want("claim of a deleted one", err, kubbi.ErrGone)

		expired := send()
		relay.Clock.Advance(time.Minute)
		_, err = c.Claim(ctx, expired.ClaimURL)
		want("claim of an expired one", err, kubbi.ErrExpired)
		_, err = c.Inspect(ctx, expired.ClaimToken)
		want("inspect of an expired one", err, kubbi.ErrExpired)

		_, err = c.Get(ctx, "00000000-0000-4000-8000-000000000000")
		want("get of none", err, kubbi.ErrNotFound)
		_, err = c.Claim(ctx, strings.Repeat("x", 43))
		want("claim of none", err, kubbi.ErrNotFound)

		_, err = c.Send(ctx, kubbi.SendParams{Content: "x", ContentType: "image/png", TTL: time.Second, MaxRetrievals: -1})
		want("a wrong send", err, kubbi.ErrValidation)
		if e := (*kubbi.Error)(nil); !errors.As(err, &e) || e.Status != 400 || len(e.Messages) != 3 {
			t.Errorf("%s: a send with three faults: %+v", name, err)
		}
		_, err = c.Send(ctx, kubbi.SendParams{Content: strings.Repeat("x", 11<<20)})
		want("a send that is too large", err, kubbi.ErrValidation)
		if e := (*kubbi.Error)(nil); !errors.As(err, &e) || e.Code != api.CodeTooLarge && e.Code != api.CodeValidation {
			t.Errorf("%s: a send that is too large: %v", name, err)
		}
	}
}

// All gives each kubbi once while others are created.
func TestAllWhileSending(t *testing.T) {
	_, clients := start(t)
	ctx := t.Context()
	for name, c := range clients {
		var before []string
		for k, err := range c.All(ctx, 100) {
			if err != nil {
				t.Fatal(err)
			}
			before = append(before, k.ID)
		}
		for range 12 {
			sent, err := c.Send(ctx, kubbi.SendParams{Content: "x"})
			if err != nil {
				t.Fatal(err)
			}
			before = append([]string{sent.ID}, before...)
		}
		var got []string
		for k, err := range c.All(ctx, 5) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, k.ID)
			if _, err := c.Send(ctx, kubbi.SendParams{Content: "new"}); err != nil {
				t.Fatal(err)
			}
		}
		if !reflect.DeepEqual(got, before) {
			t.Errorf("%s: All gave %d kubbis, want the %d that were there at its start, in order", name, len(got), len(before))
		}
	}
}

// After Close the relay gives the payload to nobody, not even under the claim's own key.
// With HoldGrace it does, until Release.
func TestGraceEnds(t *testing.T) {
	var (
		mu  sync.Mutex
		key string
	)
	relay, clients := start(t, kubbi.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
		return spy(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			key = r.Header.Get(api.HeaderIdempotencyKey)
			mu.Unlock()
			return next.RoundTrip(r)
		})
	}))
	replay := func(token string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, relay.URL+"/r/"+token+"/claim", nil)
		if err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		r.Header.Set(api.HeaderIdempotencyKey, key)
		mu.Unlock()
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	for name, c := range clients {
		for _, hold := range []bool{false, true} {
			sent, err := c.Send(t.Context(), kubbi.SendParams{Content: "x", MaxRetrievals: 1})
			if err != nil {
				t.Fatal(err)
			}
			var opts []kubbi.ClaimOption
			if hold {
				opts = append(opts, kubbi.HoldGrace())
			}
			got, err := c.Claim(t.Context(), sent.ClaimURL, opts...)
			if err != nil || !got.Burned {
				t.Fatalf("%s: claim: %+v, %v", name, got, err)
			}
			c.Close()
			if hold {
				if status := replay(sent.ClaimToken); status != 200 || got.Grace != time.Minute {
					t.Errorf("%s: within a held grace of %v the key gets %d, want 200", name, got.Grace, status)
				}
				if err := got.Release(t.Context()); err != nil {
					t.Errorf("%s: release: %v", name, err)
				}
			}
			if status := replay(sent.ClaimToken); status != 410 {
				t.Errorf("%s: after the grace (held: %v) the key gets %d, want 410", name, hold, status)
			}
		}
	}
}

type spy func(*http.Request) (*http.Response, error)

func (f spy) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A call that is cancelled while the relay works on it returns, and the client still works.
func TestCancel(t *testing.T) {
	_, clients := start(t)
	for name, c := range clients {
		for range 20 {
			ctx, cancel := context.WithCancel(t.Context())
			go cancel()
			if _, err := c.Send(ctx, kubbi.SendParams{Content: "x"}); err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
			cancel()
		}
		if _, err := c.Send(t.Context(), kubbi.SendParams{Content: "x"}); err != nil {
			t.Errorf("%s: after cancelled calls: %v", name, err)
		}
	}
}

// The relay logs the trace that a call belongs to, whichever way it came.
func TestRelaySeesTrace(t *testing.T) {
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	var log lockedBuffer
	relay := relaytest.New(t, relaytest.WithLogger(slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	for name, opts := range map[string][]kubbi.Option{
		"http":    nil,
		"process": {kubbi.WithMiddleware(relay.Local.RoundTripper)},
	} {
		c, err := kubbi.NewClient(relay.APIKey, append(opts, kubbi.WithBaseURL(relay.URL))...)
		if err != nil {
			t.Fatal(err)
		}
		log.reset()
		ctx := kubbi.WithTrace(t.Context(), kubbi.Trace{Parent: "00-" + id + "-00f067aa0ba902b7-01", State: "vendor=opaque"})
		sent, err := c.Send(ctx, kubbi.SendParams{Content: "x"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Claim(ctx, sent.ClaimURL); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil { // which waits for the end of the grace
			t.Fatal(err)
		}
		if n := strings.Count(log.String(), `"trace_id":"`+id+`"`); n != 4 {
			t.Errorf("%s: %d of 4 requests name the trace:\n%s", name, n, log.String())
		}
		if strings.Contains(log.String(), "opaque") {
			t.Errorf("%s: the log has the tracestate", name)
		}
	}
}

// lockedBuffer is a buffer for a logger.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lockedBuffer) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Reset()
}
