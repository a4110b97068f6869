package kubbi_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// between changes the answers to claims on their way, in JSON or raw.
type between struct {
	next   http.RoundTripper
	json   bool
	change atomic.Pointer[func(*onItsWay)]
}

// onItsWay is the answer to a claim of what is sealed.
type onItsWay struct {
	head   map[string]any // in JSON with the contents, which a change may replace
	sealed []byte         // nil: there is no file, or not one
}

func (b *between) RoundTrip(req *http.Request) (*http.Response, error) {
	claim := req.Method == http.MethodPost && strings.HasSuffix(req.URL.Path, api.SuffixClaim)
	if b.json && claim {
		req = req.Clone(req.Context())
		req.Header.Set("Accept", api.TypeJSON)
	}
	resp, err := b.next.RoundTrip(req)
	change := b.change.Load()
	if err != nil || change == nil || !claim {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return nil, err
	}
	if raw := resp.Header.Get("Content-Type") == api.TypeRaw; raw == b.json {
		return nil, errors.New("the answer is not in the form that was asked for")
	}
	line, sealed, _ := bytes.Cut(body, []byte("\n"))
	way := onItsWay{sealed: sealed}
	if b.json {
		line = body
	}
	if err := json.Unmarshal(line, &way.head); err != nil {
		return nil, err
	}
	file := way.head["files"].([]any)[0].(map[string]any)
	if b.json {
		if way.sealed, err = base64.StdEncoding.DecodeString(file["content"].(string)); err != nil {
			return nil, err
		}
	}
	(*change)(&way)
	if way.sealed != nil {
		file["size_bytes"] = len(way.sealed)
		if b.json {
			file["content"] = base64.StdEncoding.EncodeToString(way.sealed)
		}
	}
	if body, err = json.Marshal(way.head); err != nil {
		return nil, err
	}
	if !b.json {
		body = append(append(body, '\n'), way.sealed...)
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, nil
}

// A payload that was changed on its way is refused, and nothing of it is shown. The claim has
// counted; the relay keeps the payload for the same claim.
func TestSealedTampered(t *testing.T) {
	testkit.OnlyPlain(t, "one request at a time")
	for wire, json := range map[string]bool{"raw": false, "JSON": true} {
		t.Run(wire, func(t *testing.T) { testSealedTampered(t, json) })
	}
}

func testSealedTampered(t *testing.T, asJSON bool) {
	b := &between{json: asJSON}
	_, c, _, log := tappedRelay(t, kubbi.WithMiddleware(func(next http.RoundTripper) http.RoundTripper { b.next = next; return b }))
	ctx := t.Context()
	text := strings.Repeat("the-plaintext ", 20_000) // five segments
	const segment, metadata = 64 << 10, "from-a-sender"
	send := func() *kubbi.Sent {
		sent, err := c.SendFiles(ctx, kubbi.SendFilesParams{Sealed: true, MaxRetrievals: 1, Metadata: map[string]string{"from": metadata}, Files: []kubbi.File{
			{Name: "a.txt", Content: text, ContentType: "text/plain"}, {Name: "b.txt", Content: "the-plaintext", ContentType: "text/plain"},
		}})
		if err != nil {
			t.Fatal(err)
		}
		return sent
	}
	// Another's answer: what a relay would give if it mixed up two kubbis.
	var another onItsWay
	keep := func(way *onItsWay) { another = *way }
	b.change.Store(&keep)
	if _, err := c.Claim(ctx, send().ClaimURL); err != nil {
		t.Fatal(err)
	}
	b.change.Store(nil)

	changes := map[string]func(*onItsWay){
		"a segment dropped": func(w *onItsWay) { w.sealed = append(w.sealed[:segment:segment], w.sealed[2*segment:]...) },
		"segments swapped": func(w *onItsWay) {
			first := bytes.Clone(w.sealed[segment : 2*segment])
			copy(w.sealed[segment:], w.sealed[2*segment:3*segment])
			copy(w.sealed[2*segment:], first)
		},
		"a segment twice":        func(w *onItsWay) { w.sealed = append(w.sealed[:2*segment:2*segment], w.sealed[segment:]...) },
		"cut at a segment":       func(w *onItsWay) { w.sealed = w.sealed[:3*segment] },
		"cut by a byte":          func(w *onItsWay) { w.sealed = w.sealed[:len(w.sealed)-1] },
		"the header alone":       func(w *onItsWay) { w.sealed = w.sealed[:40] },
		"nothing in it":          func(w *onItsWay) { w.sealed = []byte{} },
		"a byte more":            func(w *onItsWay) { w.sealed = append(w.sealed, 0) },
		"another kubbi":          func(w *onItsWay) { w.head, w.sealed = another.head, another.sealed },
		"another kubbi's sealed": func(w *onItsWay) { w.sealed = another.sealed },
		"another kubbi's end":    func(w *onItsWay) { w.sealed = append(w.sealed[:segment:segment], another.sealed[segment:]...) },
		"another's metadata":     func(w *onItsWay) { w.head["metadata"] = another.head["metadata"] },
		"changed metadata":       func(w *onItsWay) { w.head["metadata"].(map[string]any)["from"] = "somebody" },
		"more metadata":          func(w *onItsWay) { w.head["metadata"].(map[string]any)["more"] = 1 },
		"less metadata":          func(w *onItsWay) { delete(w.head["metadata"].(map[string]any), "from") },
		"no text any more":       func(w *onItsWay) { delete(w.head["metadata"].(map[string]any)["sealed"].(map[string]any), "text") },
		"another version":        func(w *onItsWay) { w.head["metadata"].(map[string]any)["sealed"].(map[string]any)["v"] = 1 },
		"another kid": func(w *onItsWay) {
			w.head["metadata"].(map[string]any)["sealed"].(map[string]any)["kid"] = "AAAAAAAAAAAAAAAA"
		},
		"the seal taken off": func(w *onItsWay) { delete(w.head["metadata"].(map[string]any), "sealed") },
		"no metadata":        func(w *onItsWay) { w.head["metadata"] = nil },
		"plain text instead": func(w *onItsWay) {
			delete(w.head, "files")
			delete(w.head, "type")
			w.head["content_type"], w.sealed = "text/plain", nil
			if w.head["content"] = "evil"; !asJSON {
				w.head["content_bytes"], w.sealed = 4, []byte("evil")
			}
		},
		"a plain file instead": func(w *onItsWay) { w.sealed = []byte("evil") },
	}
	// A byte of each region: of the header, of each segment's ciphertext and tag.
	size := len(another.sealed)
	for _, at := range []int{0, 1, 32, 33, 39, 40, 200, segment - 17, segment - 16, segment - 1, segment, segment + segment/2, 2*segment - 1, 4 * segment, size - 17, size - 16, size - 1} {
		changes[fmt.Sprintf("byte %d", at)] = func(w *onItsWay) { w.sealed[at] ^= 1 }
	}
	for name, change := range changes {
		sent := send()
		key := kubbi.NewIdempotencyKey()
		b.change.Store(&change)
		told := []string{log.String()}
		refused := func(how string, err error) {
			t.Helper()
			var e *kubbi.Error
			if !errors.As(err, &e) || !errors.Is(err, kubbi.ErrSealed) || !e.Uncertain || !strings.Contains(e.Message, "the claim has counted") {
				t.Errorf("%s, %s: %v", name, how, err)
				return
			}
			told = append(told, err.Error())
		}
		_, err := c.Claim(ctx, sent.ClaimURL, kubbi.WithIdempotencyKey(key))
		refused("in memory", err)
		file, err := os.Create(filepath.Join(t.TempDir(), "payload"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Claim(ctx, sent.ClaimURL, toFile(file), kubbi.WithIdempotencyKey(key))
		refused("in a file", err)
		if kept, err := os.ReadFile(file.Name()); err != nil || bytes.Contains(kept, []byte("the-plaintext")) {
			t.Errorf("%s: the file has what was sealed: %v", name, err)
		}
		_, err = c.Claim(ctx, sent.ClaimURL, kubbi.Within(10), toFile(file), kubbi.WithIdempotencyKey(key))
		refused("within", err)
		var got bytes.Buffer
		_, err = c.ClaimTo(ctx, sent.ClaimURL, func() (kubbi.PayloadFile, error) { return file, nil }, func(s *kubbi.Claimed) error {
			for _, p := range s.Parts {
				r, err := p.Open()
				if err == nil {
					_, err = io.Copy(&got, r)
				}
				if err != nil {
					return fmt.Errorf("write: %w", err)
				}
			}
			return nil
		}, kubbi.WithIdempotencyKey(key))
		refused("under way", err)
		if !strings.HasPrefix(text+"the-plaintext", got.String()) {
			t.Errorf("%s: what is not the sender's was given", name)
		}
		file.Close()
		b.change.Store(nil)
		for _, text := range append(told, log.String()) {
			for _, secret := range []string{"evil", "the-plaintext", "a.txt", metadata, "somebody", keyOf(t, sent.ClaimURL)[:20]} {
				if strings.Contains(text, secret) {
					t.Errorf("%s: an error or the log shows something: %.300s", name, text)
				}
			}
		}
		whole, err := c.Claim(ctx, sent.ClaimURL, kubbi.WithIdempotencyKey(key))
		if err != nil || !whole.Burned || whole.Files[0].Content != text {
			t.Errorf("%s: claimed again under the same key: %v", name, err)
		}
	}
}

// A fragment is never sent, not even after a redirect.
func TestFragmentIsNeverSent(t *testing.T) {
	const key = "k=QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8"
	token := strings.Repeat("t", 43)
	var hops atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hops.Add(1)%2 == 1 {
			http.Redirect(w, r, r.URL.Path+"?hop#"+r.URL.Fragment, http.StatusFound)
			return
		}
		w.Header().Set("Content-Type", api.TypeJSON)
		io.WriteString(w, `{"status":"active","metadata":null}`)
	}))
	defer srv.Close()
	w := &wire{}
	c, err := kubbi.NewClient("", kubbi.WithBaseURL(srv.URL), kubbi.WithTransport(w.transport(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, url := range []string{srv.URL + "/r/" + token + "#" + key, token + "#" + key, "<" + srv.URL + "/r/" + token + "/claim/#" + key + ">"} {
		if _, err := c.Inspect(t.Context(), url); err != nil {
			t.Errorf("inspect: %v", err)
		}
		if _, err := c.Claim(t.Context(), url); !errors.Is(err, kubbi.ErrSealed) {
			t.Errorf("claim of what is not sealed: %v", err)
		}
	}
	text := w.text()
	if n := strings.Count(text, "GET /r/"); n != 12 || strings.Contains(text, "POST") {
		t.Errorf("%d requests were kept, want 12 inspects:\n%s", n, text)
	}
	if strings.Contains(text, key[2:22]) {
		t.Error("the key was sent")
	}
}

// Sources are sealed. A source that is not what it says makes no kubbi.
func TestSealedSources(t *testing.T) {
	_, c, w, _ := tappedRelay(t)
	source := func(name, data string, size int, encoding string) kubbi.Source {
		return kubbi.Source{Name: name, ContentType: "text/plain", Encoding: encoding, Size: int64(size), Open: func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(data)), nil
		}}
	}
	binary := strings.Repeat("\x00\xffsource-marker", 100_000)
	sent, err := c.SendFiles(t.Context(), kubbi.SendFilesParams{Sealed: true, Sources: []kubbi.Source{
		source("a.txt", "source-marker", 13, ""), source("b.bin", binary, len(binary), api.EncodingBase64), source("c.txt", "", 0, ""),
	}})
	if err != nil {
		t.Fatal(err)
	}
	got := claimParts(t, c, sent.ClaimURL)
	if len(got) != 3 || got["a.txt"] != "source-marker" || got["b.bin"] != binary || got["c.txt"] != "" {
		t.Errorf("%d files, or others", len(got))
	}
	text := source("", "one-source-marker", 17, "")
	if sent, err = c.Send(t.Context(), kubbi.SendParams{Sealed: true, Source: &text}); err != nil {
		t.Fatal(err)
	}
	if got := claimParts(t, c, sent.ClaimURL); got[""] != "one-source-marker" {
		t.Errorf("got %q", got)
	}
	if strings.Contains(w.text(), "source-marker") {
		t.Error("a source was sent as it is")
	}
	before := count(t, c)
	for name, s := range map[string]kubbi.Source{
		"longer":    source("a.txt", "source-marker", 12, ""),
		"shorter":   source("a.txt", "source-marker", 14, ""),
		"not UTF-8": source("a.txt", "\xff", 1, ""),
		"no name":   source("", "x", 1, ""),
		"a path":    source("a/b", "x", 1, ""),
		"odd role":  {Name: "a", ContentType: "text/plain", Role: "x", Open: text.Open},
		"no opener": {Name: "a", ContentType: "text/plain"},
	} {
		if _, err := c.SendFiles(t.Context(), kubbi.SendFilesParams{Sealed: true, Sources: []kubbi.Source{source("z.txt", "", 0, ""), s}}); !errors.Is(err, kubbi.ErrValidation) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for what, s := range map[string]kubbi.Source{
		"JSON that is none": source("", `{"source-marker":`, 17, ""), "text that is none": source("", "\xff", 1, ""), "a longer text": source("", "source-marker", 3, ""),
	} {
		if s.ContentType = api.TypeText; strings.HasPrefix(what, "JSON") {
			s.ContentType = api.TypeJSON
		}
		if _, err := c.Send(t.Context(), kubbi.SendParams{Sealed: true, Source: &s}); !errors.Is(err, kubbi.ErrValidation) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if n := count(t, c) - before; n != 0 {
		t.Errorf("%d of them were sent", n)
	}
}

func count(t *testing.T, c *kubbi.Client) int {
	t.Helper()
	page, err := c.List(t.Context(), kubbi.ListParams{})
	if err != nil {
		t.Fatal(err)
	}
	return page.Pagination.Total
}
