package kubbi

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"kubbi-mcp/kubbi/api"
)

func TestNewClient(t *testing.T) {
	c, err := NewClient("")
	if err != nil {
		t.Fatal(err)
	}
	if c.base.String() != "https://api.kubbi.ai" || c.retries != 2 || c.timeout != 30*time.Second || c.backoff != time.Second || c.memoryLimit != 96<<20 {
		t.Errorf("defaults are %s, %d retries, %v timeout, %v backoff, %d bytes", c.base, c.retries, c.timeout, c.backoff, c.memoryLimit)
	}
	for name, tt := range map[string]struct {
		key string
		opt Option
	}{
		"base URL path":    {"", WithBaseURL("https://h.example/api")},
		"base URL scheme":  {"", WithBaseURL("h.example")},
		"base URL user":    {"", WithBaseURL("https://u:secret@h.example")},
		"origin":           {"", WithAllowedOrigins("h.example")},
		"retries":          {"", WithRetries(-1)},
		"timeout":          {"", WithTimeout(0)},
		"limit":            {"", WithMemoryLimit(0)},
		"key with space":   {"kb_secret key", WithRetries(1)},
		"key with newline": {"kb_secret\n", WithRetries(1)},
		"key outside":      {"kb_secreté", WithRetries(1)},
	} {
		if _, err := NewClient(tt.key, tt.opt); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want an error without secrets", name, err)
		}
	}
}

// Producer calls send the key to the base URL, in one header. Without a key they send none.
func TestAuthorization(t *testing.T) {
	var s seen
	c, srv := serve(t, failing(&s, 0, nil), WithUserAgent("kubbi-mcp/1.2.3"))
	anonymous, err := NewClient("", WithBaseURL(srv.URL))
	if err != nil {
		t.Fatal(err)
	}
	defer anonymous.Close()
	for name, call := range calls(c) {
		before := len(s.all())
		if err := call(context.Background()); err != nil {
			t.Fatal(err)
		}
		want := "Bearer kb_test-key"
		if name == "Inspect" || name == "Claim" {
			want = ""
		}
		h := s.all()[before].header
		if got := h.Get("Authorization"); got != want {
			t.Errorf("%s: Authorization is %q, want %q", name, got, want)
		}
		accept := api.TypeJSON
		if name == "Claim" {
			accept = api.TypeRaw + ", " + api.TypeJSON
		}
		if h.Get("User-Agent") != "kubbi-mcp/1.2.3" || h.Get("Accept") != accept {
			t.Errorf("%s: User-Agent %q, Accept %q", name, h.Get("User-Agent"), h.Get("Accept"))
		}
		before = len(s.all())
		if err := calls(anonymous)[name](context.Background()); err != nil {
			t.Fatal(err)
		}
		if _, has := s.all()[before].header["Authorization"]; has {
			t.Errorf("%s without a key sends Authorization", name)
		}
	}
}

// What is no id is not sent: it may be a claim URL.
func TestIDs(t *testing.T) {
	var s seen
	c, _ := serve(t, failing(&s, 0, nil))
	for _, id := range []string{"", "x", testToken, "https://api.kubbi.ai/r/" + testToken, "../r/" + testToken, "{" + testID + "}", "urn:uuid:" + testID,
		strings.ReplaceAll(testID, "-", ""), testID + "/", strings.ReplaceAll(testID, "-", "/")} {
		_, gerr := c.Get(context.Background(), id)
		_, derr := c.Delete(context.Background(), id)
		for _, err := range []error{gerr, derr} {
			wantOnly(t, err, ErrValidation)
			wantNone(t, "error", err.Error(), testToken)
		}
	}
	if n := len(s.all()); n != 0 {
		t.Errorf("%d requests were made, want 0", n)
	}
}

// No token, key or payload is logged, at any level and on any path through the client.
func TestLogsHoldNoSecrets(t *testing.T) {
	const payload, key, metadata = "payload-marker", "kb_key-marker", "metadata-marker"
	l, logged := logger()
	ctx := context.Background()
	var idem []string
	run := func(h http.HandlerFunc) {
		var s seen
		c, srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
			s.add(r)
			h(w, r)
		}, WithLogger(l))
		c.apiKey = key
		c.Send(ctx, SendParams{Content: payload, Metadata: map[string]string{"m": metadata}})
		c.Send(ctx, SendParams{Content: payload, ContentType: "\xff" + payload})
		c.SendFiles(ctx, SendFilesParams{Files: []File{{Name: "a.txt", Content: payload, ContentType: api.TypeText}}})
		c.Get(ctx, testID)
		c.List(ctx, ListParams{Page: 2})
		c.Delete(ctx, testID)
		for _, u := range []string{testToken, srv.URL + "/r/" + testToken + "#k=fragment-marker", srv.URL + "/r/" + testToken + "#" + new(sealKey).fragment(), "https://evil.example/r/" + testToken, testToken + "?"} {
			c.Inspect(ctx, u)
			c.Claim(ctx, u)
			if cl, err := c.Claim(ctx, u, HoldGrace()); err == nil {
				cl.Release(ctx)
			}
		}
		c.Close()
		for _, r := range s.all() {
			if k := r.header.Get(api.HeaderIdempotencyKey); k != "" {
				idem = append(idem, k)
			}
		}
	}
	claimed := okClaim
	claimed.Content = []byte(`"` + payload + `"`)
	run(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(api.HeaderClaimGrace, "60")
		if strings.HasSuffix(r.URL.Path, api.SuffixClaim) {
			if r.Method == http.MethodDelete {
				w.WriteHeader(204)
				return
			}
			answer(w, 200, claimed)
			return
		}
		failing(new(seen), 0, nil)(w, r)
	})
	for _, f := range failures() {
		run(f)
	}
	run(func(w http.ResponseWriter, r *http.Request) {
		refuse(w, api.CodeGone, payload+" "+r.URL.Path+" "+r.Header.Get("Authorization")+" "+r.Header.Get(api.HeaderIdempotencyKey))
	})
	run(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://evil.example"+r.URL.Path, http.StatusFound)
	})

	text := logged()
	for _, want := range []string{`"path":"/r/:token/claim"`, `"path":"/r/:token/inspect"`, `"path":"/api/v1/kubbis/:id"`, `"path":"/api/v1/kubbis"`,
		`"method":"DELETE"`, `"status":200`, `"status":410`, `"attempt":3`, `"duration":`, `"host":"127.0.0.1:`} {
		if !strings.Contains(text, want) {
			t.Errorf("the log does not show %s", want)
		}
	}
	if len(idem) == 0 {
		t.Fatal("no idempotency keys were seen")
	}
	for line := range strings.Lines(text) {
		wantNone(t, "log", line, append(idem, testToken, key, payload, metadata, testID, "fragment-marker", new(sealKey).fragment())...)
	}
}
