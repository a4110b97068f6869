// Package browser tests the claim page: in Chromium, and its code in Node.js.
package browser

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	picture "image"
	"image/color"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// TestClaimPage opens claim URLs in Chromium, as people do. It checks what each state
// shows, what is copied and saved, that the content security policy holds, and that
// people can use the page without seeing it or without a mouse.
func TestClaimPage(t *testing.T) {
	t.Parallel()
	env := needsChromium(t)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	s := newPageSite(ctx, t)
	out := t.TempDir()

	runInChromium(ctx, t, "check.mjs", `\d\d states passed, 0 failed`, append(env, "KUBBI_SITE="+s.server.URL, "KUBBI_OUT="+out)...)
	for name, want := range map[string][]byte{
		"text/content.txt": []byte(pageText), "json/content.json": []byte(pageJSON), "sealed-text/content.txt": []byte(pageText),
		"plain-text/content.txt": []byte(pageText), "package/chart.png": pagePNG(), "plain-package/chart.png": pagePNG(),
		"sealed-package/README.md": []byte(pageFiles()[0].Content),
	} {
		got, err := os.ReadFile(filepath.Join(out, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("saved %s: %d bytes, want %d: %v", name, len(got), len(want), err)
		}
	}
	for _, name := range []string{"package", "sealed-package", "plain-package", "plain-large"} {
		files := pageFiles()
		if name == "plain-large" {
			files = append(files, largeFile())
		}
		want := map[string]string{}
		for _, f := range files {
			want[f.Name] = f.Content
			if f.Encoding != "" {
				b, err := base64.StdEncoding.DecodeString(f.Content)
				if err != nil {
					t.Fatal(err)
				}
				want[f.Name] = string(b)
			}
		}
		if diff := cmp.Diff(want, unzipped(t, filepath.Join(out, name, "kubbi.zip"))); diff != "" {
			t.Errorf("%s: the zip differs: %.500s", name, diff)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.keys) < 8 || s.received.Len() == 0 {
		t.Fatalf("%d sealed kubbis were made", len(s.keys))
	}
	if n := bytes.Count(s.received.Bytes(), []byte("DELETE /r/")); n < 13 {
		t.Errorf("the page ended the grace of %d claims", n)
	}
	for _, key := range s.keys {
		if bytes.Contains(s.received.Bytes(), []byte(key)) {
			t.Error("a request held the key of a sealed kubbi")
		}
	}
}

func unzipped(t *testing.T, path string) map[string]string {
	t.Helper()
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer z.Close()
	files := map[string]string{}
	for _, f := range z.File {
		src, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(src) // checks the sum too
		if err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
		files[f.Name] = string(b)
	}
	return files
}

// The content. The text holds what may deceive: HTML, and characters that reverse the
// order of others.
const (
	pageText = "The door code is 4711.\n\n<img src=x onerror=alert(1)> & \"quotes\"\nžluťoučký kůň 🐎\nphoto_\u202egnp.exe\n"
	pageJSON = `{"order":20260328,"price":1.50,"big":12345678901234567890,"paid":true,"note":null,"lines":[{"name":"Tea, \"green\"","count":2},{"name":"Cups","count":4}],"empty":{}}`
)

// pagePNG is a small image.
func pagePNG() []byte {
	img := picture.NewRGBA(picture.Rect(0, 0, 360, 180))
	for x := range 360 {
		for y := range 180 {
			c := color.RGBA{244, 243, 239, 255}
			if bar := x / 60; y > 160-bar*24-20 && x%60 > 12 {
				c = color.RGBA{20, uint8(60 + bar*24), 122, 255}
			}
			img.Set(x, y, c)
		}
	}
	var b bytes.Buffer
	_ = png.Encode(&b, img) // to memory
	return b.Bytes()
}

func pageFiles() []kubbi.File {
	return []kubbi.File{
		{Name: "README.md", Content: "# March\n\nThe figures are in figures.json, and chart.png shows them.\n", ContentType: "text/markdown", Role: "instructions"},
		{Name: "chart.png", Content: base64.StdEncoding.EncodeToString(pagePNG()), ContentType: "image/png", Encoding: api.EncodingBase64, Role: "attachment"},
		{Name: "figures.json", Content: `{"march":[4,8,15,16,23,42]}`, ContentType: "application/json", Role: "data"},
		{Name: "page.html", Content: "<script>alert(1)</script><h1>Not a page</h1>", ContentType: "text/html"},
		{Name: "raw.bin", Content: "AP+A/w==", ContentType: "application/octet-stream", Encoding: api.EncodingBase64},
		{Name: "drawing.svg", Content: `<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"></svg>`, ContentType: "image/svg+xml"},
		{Name: "empty.txt", ContentType: "text/plain"},
	}
}

func largeFile() kubbi.File {
	return kubbi.File{Name: "large.bin", Content: base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0, 1, 255}, 1<<21)), ContentType: "application/octet-stream", Encoding: api.EncodingBase64}
}

// pageSite makes kubbis for the check, and damages answers on request.
type pageSite struct {
	*site
	keys  []string          // of sealed kubbis
	spoil map[string]string // token: "lost" or "changed", once
}

func newPageSite(ctx context.Context, t *testing.T) *pageSite {
	t.Helper()
	p := &pageSite{spoil: map[string]string{}}
	newSite(ctx, t, func(s *site) http.Handler {
		p.site = s
		rewrite := s.next.Rewrite
		s.next.Rewrite = func(r *httputil.ProxyRequest) {
			rewrite(r)
			r.Out.Host = r.In.Host // as a proxy of a team passes it on
		}
		return p
	})
	return p
}

// ServeHTTP makes a kubbi at /make/KIND, and passes all other requests on.
func (s *pageSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if kind, ok := strings.CutPrefix(r.URL.Path, "/make/"); ok {
		claimURL, err := s.make(kind)
		if err != nil {
			s.t.Errorf("make %s: %v", kind, err)
			http.Error(w, "no", http.StatusInternalServerError)
			return
		}
		if err := json.NewEncoder(w).Encode(map[string]string{"url": s.proxied(claimURL)}); err != nil {
			s.t.Error(err)
		}
		return
	}
	s.record(r)
	s.mu.Lock()
	how := ""
	if token, ok := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/r/"), "/claim"); ok && r.Method == http.MethodPost {
		how = s.spoil[token]
		delete(s.spoil, token)
	}
	s.mu.Unlock()
	if how == "" {
		s.next.ServeHTTP(w, r)
		return
	}
	rec := httptest.NewRecorder()
	s.next.ServeHTTP(rec, r)
	if how == "lost" {
		panic(http.ErrAbortHandler)
	}
	for name, values := range rec.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(rec.Code)
	// The 60th character of the content is in its first segment.
	body := rec.Body.Bytes()
	body[bytes.Index(body, []byte(`"content":"`))+60] ^= 1
	_, _ = w.Write(body)
}

func (s *pageSite) make(kind string) (string, error) {
	kind, sealed := strings.CutPrefix(kind, "sealed-")
	var sent *kubbi.Sent
	var err error
	send := func(p kubbi.SendParams) {
		p.Sealed, p.TTL = sealed, time.Hour
		sent, err = s.client.Send(s.ctx, p)
	}
	files := func(files []kubbi.File, retrievals int) {
		sent, err = s.client.SendFiles(s.ctx, kubbi.SendFilesParams{Files: files, Sealed: sealed, TTL: time.Hour, MaxRetrievals: retrievals})
	}
	switch kind {
	case "text", "lost", "changed", "burned", "deleted":
		send(kubbi.SendParams{Content: pageText, MaxRetrievals: 1})
	case "thrice":
		send(kubbi.SendParams{Content: pageText, MaxRetrievals: 3})
	case "short":
		send(kubbi.SendParams{Content: "hunter2 é", MaxRetrievals: 1, Metadata: json.RawMessage(`{"from":"the <b>deploy</b> bot","note":[1,2]}`)})
	case "recipient":
		send(kubbi.SendParams{Content: pageText, To: []kubbi.Recipient{kubbi.GenerateIdentity().Recipient()}})
	case "json":
		send(kubbi.SendParams{Content: json.RawMessage(pageJSON)})
	case "package":
		files(pageFiles(), 1)
	case "large":
		files(append(pageFiles(), largeFile()), 1)
	case "expired":
		sent, err = s.client.Send(s.ctx, kubbi.SendParams{Content: "x", TTL: time.Minute})
	case "unknown":
		return s.relay.URL + "/r/" + strings.Repeat("A", 43), nil
	default:
		return "", fmt.Errorf("nothing is called that")
	}
	if err != nil {
		return "", err
	}
	claimURL, key, _ := strings.Cut(sent.ClaimURL, "#k=")
	token := claimURL[strings.LastIndex(claimURL, "/")+1:]
	switch kind {
	case "lost", "changed":
		s.mu.Lock()
		s.spoil[token] = kind
		s.mu.Unlock()
	case "burned":
		_, err = s.client.Claim(s.ctx, sent.ClaimURL)
	case "deleted":
		_, err = s.client.Delete(s.ctx, sent.ID)
	case "expired":
		s.relay.Clock.Advance(time.Minute)
	}
	if sealed && key != "" {
		s.mu.Lock()
		s.keys = append(s.keys, key)
		s.mu.Unlock()
	}
	return sent.ClaimURL, err
}
