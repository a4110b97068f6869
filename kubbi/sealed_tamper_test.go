package kubbi_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// between changes the answers to claims on their way.
type between struct {
	next   http.RoundTripper
	change atomic.Pointer[func(string) string]
}

func (b *between) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Accept", api.TypeJSON)
	resp, err := b.next.RoundTrip(req)
	change := b.change.Load()
	if err != nil || change == nil || req.Method != http.MethodPost || !strings.HasSuffix(req.URL.Path, api.SuffixClaim) {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return nil, err
	}
	body = []byte((*change)(string(body)))
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, nil
}

// What was changed on its way is refused and shows nothing. The claim has
// counted; the relay keeps the payload for the same claim.
func TestSealedTampered(t *testing.T) {
	b := &between{}
	_, c, _, log := tappedRelay(t, kubbi.WithMiddleware(func(next http.RoundTripper) http.RoundTripper { b.next = next; return b }))
	ctx := t.Context()
	single := func() *kubbi.Sent {
		sent, err := c.Send(ctx, kubbi.SendParams{Content: "the-plaintext", Sealed: true, MaxRetrievals: 1})
		if err != nil {
			t.Fatal(err)
		}
		return sent
	}
	pack := func() *kubbi.Sent {
		sent, err := c.SendFiles(ctx, kubbi.SendFilesParams{Sealed: true, MaxRetrievals: 1, Files: []kubbi.File{
			{Name: "a.txt", Content: "the-plaintext", ContentType: "text/plain"}, {Name: "b.txt", Content: "the-plaintext", ContentType: "text/plain"},
		}})
		if err != nil {
			t.Fatal(err)
		}
		return sent
	}
	// Another's answer: what a relay would give if it mixed up two kubbis.
	answerOf := func(sent *kubbi.Sent) string {
		var answer string
		keep := func(body string) string { answer = body; return body }
		b.change.Store(&keep)
		defer b.change.Store(nil)
		if _, err := c.Claim(ctx, sent.ClaimURL); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	another, anotherPack := answerOf(single()), answerOf(pack())
	contents := func(answer string) []string { return strings.Split(answer, `"content":"`) }
	content := func(s string) string { s, _, _ = strings.Cut(s, `"`); return s }
	flip := func(s string, at int) string {
		c := byte('A')
		if s[at] == 'A' {
			c = 'B'
		}
		return s[:at] + string(c) + s[at+1:]
	}
	inContent := func(part int) func(string) string { // flips a bit in a part of the first JWE
		return func(body string) string {
			at := strings.Index(body, `"content":"`) + len(`"content":"`)
			for range part {
				at += strings.IndexByte(body[at:], '.') + 1
			}
			return flip(body, at+3)
		}
	}
	for name, tt := range map[string]struct {
		make   func() *kubbi.Sent
		change func(string) string
	}{
		"a bit of the header":     {single, inContent(0)},
		"a bit of the nonce":      {single, inContent(2)},
		"a bit of the ciphertext": {single, inContent(3)},
		"a bit of the tag":        {single, inContent(4)},
		"a bit of a file":         {pack, inContent(3)},
		"plain text instead":      {single, func(s string) string { return strings.Replace(s, content(contents(s)[1]), "evil", 1) }},
		"another kubbi":           {single, func(string) string { return another }},
		"another kubbi's content": {single, func(s string) string {
			return strings.Replace(s, content(contents(s)[1]), content(contents(another)[1]), 1)
		}},
		"another kubbi's file": {pack, func(s string) string {
			return strings.Replace(s, content(contents(s)[2]), content(contents(anotherPack)[2]), 1)
		}},
		"files swapped": {pack, func(s string) string {
			one, two := content(contents(s)[1]), content(contents(s)[2])
			return strings.NewReplacer(one, two, two, one).Replace(s)
		}},
		"a file for a package": {pack, func(s string) string {
			return `{"content":"` + content(contents(s)[1]) + `","content_type":"text/plain","metadata":` + s[strings.Index(s, `{"sealed"`):]
		}},
		"the seal taken off": {single, func(s string) string { return strings.Replace(s, `"sealed"`, `"xealed"`, 1) }},
	} {
		sent := tt.make()
		key, err := kubbi.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		b.change.Store(&tt.change)
		_, err = c.Claim(ctx, sent.ClaimURL, kubbi.WithKey(key))
		var e *kubbi.Error
		if !errors.As(err, &e) || !errors.Is(err, kubbi.ErrSealed) || !e.Uncertain || !strings.Contains(e.Message, "the claim has counted") {
			t.Errorf("%s: %v", name, err)
		}
		spool, ferr := os.Create(filepath.Join(t.TempDir(), "spool"))
		if ferr != nil {
			t.Fatal(ferr)
		}
		_, spooledErr := c.ClaimSpooled(ctx, sent.ClaimURL, spool, kubbi.WithKey(key))
		if !errors.Is(spooledErr, kubbi.ErrSealed) {
			t.Errorf("%s, spooled: %v", name, spooledErr)
		}
		spool.Close()
		b.change.Store(nil)
		for _, text := range []string{err.Error(), spooledErr.Error(), log.String()} {
			if strings.Contains(text, "evil") || strings.Contains(text, "the-plaintext") || strings.Contains(text, keyOf(t, sent.ClaimURL)[:20]) {
				t.Errorf("%s: an error or the log shows something: %.300s", name, text)
			}
		}
		got, err := c.Claim(ctx, sent.ClaimURL, kubbi.WithKey(key))
		if err != nil || !got.Burned {
			t.Errorf("%s: claimed again under the same key: %v", name, err)
		}
	}
}

// A fragment is not sent, not even where a redirect leads.
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

// Sources are sealed as what they hold, and one that is other than it says is
// refused before anything is sent.
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
	got := spool(t, c, sent.ClaimURL)
	if len(got) != 3 || got["a.txt"] != "source-marker" || got["b.bin"] != binary || got["c.txt"] != "" {
		t.Errorf("%d files, or others", len(got))
	}
	text := source("", "one-source-marker", 17, "")
	if sent, err = c.Send(t.Context(), kubbi.SendParams{Sealed: true, Source: &text}); err != nil {
		t.Fatal(err)
	}
	if got := spool(t, c, sent.ClaimURL); got[""] != "one-source-marker" {
		t.Errorf("got %q", got)
	}
	if strings.Contains(w.text(), "source-marker") {
		t.Error("a source was sent as it is")
	}
	before := strings.Count(w.text(), "POST ")
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
	if n := strings.Count(w.text(), "POST ") - before; n != 0 {
		t.Errorf("%d of them were sent", n)
	}
}
