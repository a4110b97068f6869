package kubbi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"kubbi-mcp/kubbi/api"
)

func itoa(n int) string { return strconv.Itoa(n) }

// graceful is a server whose claims have a grace; ends counts the DELETEs.
func graceful(s *seen, end http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.add(r)
		if r.Method == http.MethodDelete {
			end(w, r)
			return
		}
		w.Header().Set(api.HeaderClaimGrace, "60")
		answer(w, 200, okClaim)
	}
}

func noContent(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

// A claim whose answer tells of a grace ends it with the claim's own key, once
// the payload is there, without the caller waiting; Close waits.
func TestClaimEndsGrace(t *testing.T) {
	var s seen
	block := make(chan struct{})
	var ended atomic.Bool
	c, _ := serve(t, graceful(&s, func(w http.ResponseWriter, r *http.Request) {
		<-block
		ended.Store(true)
		noContent(w, r)
	}))
	ctx, cancel := context.WithCancel(context.Background())
	if _, err := c.Claim(ctx, testToken); err != nil {
		t.Fatal(err)
	}
	cancel() // the caller's end is not the grace's
	if ended.Load() {
		t.Error("the claim waited for the grace's end")
	}
	close(block)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if !ended.Load() {
		t.Fatal("Close did not wait for the grace's end")
	}
	reqs := s.all()
	if len(reqs) != 2 || reqs[1].method != http.MethodDelete || reqs[1].path != "/r/"+testToken+"/claim" ||
		reqs[1].header.Get(api.HeaderIdempotencyKey) != reqs[0].header.Get(api.HeaderIdempotencyKey) || reqs[1].header.Get(api.HeaderIdempotencyKey) == "" {
		t.Errorf("requests are %+v", reqs)
	}
}

// Ending a grace is one try (net/http itself makes a second one where a kept
// connection turns out to be closed), whose failure is nobody's concern.
func TestClaimGraceEndFails(t *testing.T) {
	for name, f := range failures() {
		var s seen
		c, _ := serve(t, graceful(&s, f))
		if _, err := c.Claim(context.Background(), testToken); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := len(s.all()); n != 2 && (n != 3 || name != "no answer") {
			t.Errorf("%s: %d requests, want 2", name, n)
		}
	}
}

// Without a whole payload the grace stays open: the next attempt needs it.
func TestClaimKeepsGraceUntilDecoded(t *testing.T) {
	for name, body := range map[string]string{
		"cut":        "{\"content\":",
		"incomplete": "{}",
		"not JSON":   "<html>",
	} {
		var s seen
		c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			s.add(r)
			w.Header().Set(api.HeaderClaimGrace, "60")
			w.Write([]byte(body))
		})
		if _, err := c.Claim(context.Background(), testToken); err == nil {
			t.Errorf("%s: no error", name)
		}
		c.Close()
		for _, r := range s.all() {
			if r.method == http.MethodDelete {
				t.Errorf("%s: the grace was ended", name)
			}
		}
	}
}

func TestHoldGrace(t *testing.T) {
	var s seen
	status := 204
	c, _ := serve(t, graceful(&s, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	got, err := c.Claim(context.Background(), testToken, HoldGrace())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if len(s.all()) != 1 || got.Grace.Seconds() != 60 {
		t.Errorf("%d requests, grace %v; want 1, 60 s", len(s.all()), got.Grace)
	}
	if err := got.Release(context.Background()); err != nil {
		t.Error(err)
	}
	if reqs := s.all(); len(reqs) != 2 || reqs[1].method != http.MethodDelete || reqs[1].header.Get(api.HeaderIdempotencyKey) != reqs[0].header.Get(api.HeaderIdempotencyKey) {
		t.Errorf("requests are %+v", reqs)
	}
	status = 500
	if err := got.Release(context.Background()); asError(t, err).Status != 500 {
		t.Errorf("a release that fails: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := got.Release(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a release that is cancelled: %v", err)
	}
}

// A server that knows no grace is not asked to end one.
func TestNoGrace(t *testing.T) {
	for _, header := range []string{"", "0", "-1", "x", "9999999999"} {
		var s seen
		c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			s.add(r)
			w.Header().Set(api.HeaderClaimGrace, header)
			answer(w, 200, okClaim)
		})
		got, err := c.Claim(context.Background(), testToken)
		if err != nil {
			t.Fatal(err)
		}
		held, err := c.Claim(context.Background(), testToken, HoldGrace())
		if err != nil {
			t.Fatal(err)
		}
		for _, cl := range []*Claimed{got, held, {}} {
			if err := cl.Release(context.Background()); err != nil || cl.Grace != 0 {
				t.Errorf("grace %q: release %v, grace %v", header, err, cl.Grace)
			}
		}
		c.Close()
		if n := len(s.all()); n != 2 {
			t.Errorf("grace %q: %d requests, want 2", header, n)
		}
	}
}

// The number of graces being ended at once is bounded; a claim beyond it does
// not wait.
func TestGraceEndsAreBounded(t *testing.T) {
	var s seen
	block := make(chan struct{})
	c, _ := serve(t, graceful(&s, func(w http.ResponseWriter, r *http.Request) {
		<-block
		noContent(w, r)
	}))
	for range maxReleases + 10 {
		if _, err := c.Claim(context.Background(), testToken); err != nil {
			t.Fatal(err)
		}
	}
	close(block)
	c.Close()
	ends := 0
	for _, r := range s.all() {
		if r.method == http.MethodDelete {
			ends++
		}
	}
	if ends != maxReleases {
		t.Errorf("%d graces were ended, want %d", ends, maxReleases)
	}
}

func TestRemaining(t *testing.T) {
	tests := []struct {
		header string
		burned bool
		left   int // -1: nil
		known  bool
	}{
		{"", false, -1, false},
		{"", true, 0, true},
		{"0", true, 0, true},
		{"7", true, 0, true},
		{"3", false, 3, true},
		{"unlimited", false, -1, true},
		{"-1", false, -1, false},
		{"many", false, -1, false},
		{"99999999999", false, -1, false},
	}
	for _, tt := range tests {
		c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if tt.header != "" {
				w.Header().Set(api.HeaderRemainingReads, tt.header)
			}
			cl := okClaim
			cl.Burned = tt.burned
			answer(w, 200, cl)
		})
		got, err := c.Claim(context.Background(), testToken)
		if err != nil {
			t.Fatal(err)
		}
		left := -1
		if got.Remaining != nil {
			left = *got.Remaining
		}
		if left != tt.left || got.RemainingKnown != tt.known {
			t.Errorf("header %q, burned %v: %d left, known %v; want %d, %v", tt.header, tt.burned, left, got.RemainingKnown, tt.left, tt.known)
		}
	}
}

// What is claimed is what the server wrote, to the byte; what it left open
// stays open.
func TestClaimContent(t *testing.T) {
	big := `{"a": [` + strings.Repeat(`1e999 , `, 2000) + `1]}`
	for name, tt := range map[string]struct{ body, content, text string }{
		"text":        {`{"content":"h\u00e9 \"x\"","content_type":"text/plain","metadata":null}`, `"h\u00e9 \"x\""`, `hé "x"`},
		"empty":       {`{"content":"","content_type":"text/plain"}`, `""`, ""},
		"null":        {`{"content":null,"content_type":"application/json"}`, `null`, "null"},
		"object":      {`{"content": { "b":1, "a" :2.0 } ,"content_type":"application/json"}`, `{ "b":1, "a" :2.0 }`, `{ "b":1, "a" :2.0 }`},
		"duplicates":  {`{"content":{"a":1,"a":2}}`, `{"a":1,"a":2}`, `{"a":1,"a":2}`},
		"large":       {`{"created_at":"2026-03-28T12:00:00.000Z","content":` + big + `,"new_field":[1,{"x":2}],"metadata":{"k":1}}`, big, big},
		"large first": {`{"content":"` + strings.Repeat("x", 9000) + `"}`, `"` + strings.Repeat("x", 9000) + `"`, strings.Repeat("x", 9000)},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(tt.body)) })
			got, err := c.Claim(context.Background(), testToken)
			if err != nil {
				t.Fatal(err)
			}
			if string(got.Content) != tt.content || got.Text() != tt.text {
				t.Errorf("content is %.100s, text %.100s", got.Content, got.Text())
			}
			if name == "text" && got.Metadata != nil {
				t.Errorf("metadata of null is %q, want nil", got.Metadata)
			}
			if name == "large" && string(got.Metadata) != `{"k":1}` {
				t.Errorf("metadata is %q", got.Metadata)
			}
			if cap(got.Content) > len(got.Content)+8 {
				t.Errorf("an append to the content would write into the answer")
			}
		})
	}
	var v struct{ A []int }
	cl := Claimed{ClaimResponse: api.ClaimResponse{Content: json.RawMessage(`{"A":[1,2]}`)}}
	if err := cl.Decode(&v); err != nil || len(v.A) != 2 {
		t.Errorf("Decode: %v, %v", v, err)
	}
}

func TestClaimPackage(t *testing.T) {
	role := "data"
	n := 2
	want := api.ClaimResponse{Type: api.TypePackage, FileCount: &n, Files: []api.ClaimedFile{
		{Name: "a.txt", ContentType: api.TypeText, SizeBytes: 5, Content: "hello", Role: &role},
		{Name: "b.bin", ContentType: "image/png", SizeBytes: 2, Content: "AAE=", Encoding: api.EncodingBase64},
	}, Burned: true}
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { answer(w, 200, want) })
	got, err := c.Claim(context.Background(), testToken)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Files) != 2 || got.Files[0] != want.Files[0] && *got.Files[0].Role != role || got.Files[1].Content != "AAE=" || !got.Burned || got.Content != nil {
		t.Errorf("claimed %+v", got)
	}
}

// A claim that ends in "gone" after an attempt without an answer says that it
// may have been its own doing; one that was told so at once does not.
func TestUncertainClaim(t *testing.T) {
	for name, f := range failures() {
		gone := func(w http.ResponseWriter, _ *http.Request) { refuse(w, api.CodeGone, "burned") }
		var s seen
		c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if s.add(r) == 1 {
				f(w, r)
				return
			}
			gone(w, r)
		})
		_, err := c.Claim(context.Background(), testToken)
		wantOnly(t, err, ErrGone)
		e := asError(t, err)
		if want := name != "503"; e.Uncertain != want || strings.Contains(err.Error(), "earlier attempt") != want {
			t.Errorf("%s, then gone: uncertain %v: %v", name, e.Uncertain, err)
		}
		_, err = c.Claim(context.Background(), testToken)
		if e := asError(t, err); e.Uncertain {
			t.Errorf("gone at once: %v", err)
		}
	}
}

func TestAnswerLimit(t *testing.T) {
	body := `{"content":"` + strings.Repeat("x", 1000) + `"}`
	for _, sized := range []bool{true, false} {
		h := func(w http.ResponseWriter, r *http.Request) {
			if sized {
				w.Header().Set("Content-Length", itoa(len(body)))
			} else {
				w.(http.Flusher).Flush()
			}
			w.Write([]byte(body))
		}
		c, _ := serve(t, h, WithAnswerLimit(int64(len(body))))
		if _, err := c.Claim(context.Background(), testToken); err != nil {
			t.Errorf("at the limit: %v", err)
		}
		var s seen
		c, _ = serve(t, func(w http.ResponseWriter, r *http.Request) { s.add(r); h(w, r) }, WithAnswerLimit(int64(len(body)-1)))
		_, err := c.Claim(context.Background(), testToken)
		wantOnly(t, err, nil)
		if e := asError(t, err); e.Status != 200 || !strings.Contains(e.Message, "limit of "+itoa(len(body)-1)+" bytes") || len(s.all()) != 1 {
			t.Errorf("over the limit: %v after %d requests", err, len(s.all()))
		}
	}
}

// FuzzDecodeClaim: no answer makes the client panic, and what it takes for a
// payload is JSON that the server wrote.
func FuzzDecodeClaim(f *testing.F) {
	for _, s := range []string{
		`{"content":"x","content_type":"text/plain","metadata":null,"burned":true,"created_at":"2026-03-28T12:00:00.000Z","expires_at":"2026-03-28T13:00:00.000Z"}`,
		`{"type":"kubbi_package","file_count":1,"files":[{"name":"a","content_type":"text/plain","size_bytes":1,"role":null,"content":"x"}],"metadata":{"k":[1]}}`,
		`{"content":null}`, `{"content":`, `{"content":{"a":1,"a":2}}`, `[]`, `{"files":null}`, `{"error":"gone","message":"x","messages":["y"]}`,
		`{"content":"` + strings.Repeat("x", rawCopy) + `"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		given := string(body)
		var cl api.ClaimResponse
		if err := decode(body, &cl); err == nil {
			for _, raw := range []json.RawMessage{cl.Content, cl.Metadata} {
				if raw != nil && (!json.Valid(raw) || !strings.Contains(given, string(raw))) {
					t.Fatalf("%q holds %q", given, raw)
				}
			}
			(&Claimed{ClaimResponse: cl}).Text()
		} else if !errors.Is(err, errNotJSON) && !errors.Is(err, errCutShort) && !errors.Is(err, errEmpty) {
			t.Fatalf("error is %v", err)
		}
		if string(body) != given {
			t.Fatal("decoding changed the answer")
		}
		var e api.ErrorBody
		if decode(body, &e) == nil {
			for _, r := range clean(e.Message, nil) + string(cleanCode(e.Error)) {
				if r < ' ' || r == 0x7f {
					t.Fatalf("a control character gets through: %q", e.Message)
				}
			}
		}
	})
}
