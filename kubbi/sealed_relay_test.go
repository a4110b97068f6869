package kubbi_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/relay/relaytest"
)

// wire is a transport that keeps every byte of its connections, both ways.
type wire struct {
	mu    sync.Mutex
	bytes bytes.Buffer
}

func (w *wire) transport(t *testing.T) *http.Transport {
	tr := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		return &tapped{c, w}, err
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func (w *wire) keep(b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes.Write(b)
}

func (w *wire) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bytes.String()
}

type tapped struct {
	net.Conn
	w *wire
}

func (c *tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.w.keep(b[:n])
	return n, err
}

func (c *tapped) Write(b []byte) (int, error) {
	c.w.keep(b)
	return c.Conn.Write(b)
}

// tappedRelay is a relay whose traffic and log are kept, and a client of it.
func tappedRelay(t *testing.T, opts ...kubbi.Option) (*relaytest.Server, *kubbi.Client, *wire, *lockedBuffer) {
	t.Helper()
	var log lockedBuffer
	l := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug - 100}))
	relay := relaytest.New(t, relaytest.WithLogger(l))
	w := &wire{}
	opts = append([]kubbi.Option{kubbi.WithBaseURL(relay.URL), kubbi.WithTransport(w.transport(t)), kubbi.WithLogger(l)}, opts...)
	c, err := kubbi.NewClient(relay.APIKey, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return relay, c, w, &log
}

// keyOf is the key in a claim URL, as text.
func keyOf(t *testing.T, claimURL string) string {
	t.Helper()
	_, key, ok := strings.Cut(claimURL, "#k=")
	if !ok || len(key) != 43 {
		t.Fatal("the claim URL has no key")
	}
	return key
}

// stored is everything in a folder.
func stored(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		all.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// A sealed payload comes out as it went in, and neither it nor its key is in the traffic, in
// the logs or in the relay's files.
func TestSealedRoundTrip(t *testing.T) {
	relay, c, w, log := tappedRelay(t)
	ctx := t.Context()
	secrets := map[string]bool{}
	hide := func(claimURL string, plain ...string) {
		key := keyOf(t, claimURL)
		raw, err := base64.RawURLEncoding.DecodeString(key)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range append(plain, key, string(raw)) {
			secrets[s] = true
			for shift, skip := range []int{0, 2, 3} { // in base64, wherever it starts
				text := base64.RawURLEncoding.EncodeToString(append(make([]byte, shift), s...))
				secrets[text[skip:len(text)-1]] = true
				secrets[strings.NewReplacer("-", "+", "_", "/").Replace(text[skip:len(text)-1])] = true
			}
		}
	}
	for _, tt := range []struct {
		content    any
		typ        string
		want, hide string
		wantType   string
	}{
		{"plain-marker \u2028 \x00 \"quoted\" é", "", `"plain-marker \u2028 \u0000 \"quoted\" é"`, "plain-marker", api.TypeText},
		{"", "", `""`, "", api.TypeText},
		{"# markdown-marker", api.TypeMarkdown, `"# markdown-marker"`, "markdown-marker", api.TypeMarkdown},
		{"csv-marker,1\r\n", api.TypeCSV, `"csv-marker,1\r\n"`, "csv-marker", api.TypeCSV},
		{map[string]any{"json-marker": []any{1.5, nil, true}}, "", `{"json-marker":[1.5,null,true]}`, "json-marker", api.TypeJSON},
		{jsontext.Value(`{ "raw-marker" : 123456789012345678901234567890 }`), "", `{ "raw-marker" : 123456789012345678901234567890 }`, "raw-marker", api.TypeJSON},
		{jsontext.Value(`null`), "", `null`, "", api.TypeJSON},
		{"text-as-JSON-marker", api.TypeJSON, `"text-as-JSON-marker"`, "text-as-JSON-marker", api.TypeJSON},
		{strings.Repeat("large-marker ", 1<<18), "", `"` + strings.Repeat("large-marker ", 1<<18) + `"`, "large-marker", api.TypeText},
	} {
		sent, err := c.Send(ctx, kubbi.SendParams{Content: tt.content, ContentType: tt.typ, Sealed: true, MaxRetrievals: 1, Metadata: map[string]string{"from": "me"}})
		if err != nil {
			t.Fatal(err)
		}
		if tt.hide != "" {
			hide(sent.ClaimURL, tt.hide)
		}
		in, err := c.Inspect(ctx, sent.ClaimURL)
		if err != nil || !in.Sealed() || !in.SealedText() || in.Type != api.TypePackage || !strings.Contains(string(in.Metadata), `"from":"me"`) {
			t.Errorf("inspect: %+v, %v", in, err)
		}
		got, err := c.Claim(ctx, sent.ClaimURL)
		if err != nil {
			t.Errorf("claim of %.20v: %v", tt.content, err)
			continue
		}
		same := jsontext.Value(got.Content).Kind() == '"' || string(got.Content) == tt.want
		if a, b := canonical(t, got.Content), canonical(t, []byte(tt.want)); a != b || !same || got.ContentType != tt.wantType || sent.ContentType != tt.wantType || !got.Burned {
			t.Errorf("got %.60s of type %s, want %.60s of %s", got.Content, got.ContentType, tt.want, tt.wantType)
		}
		if _, err := c.Claim(ctx, sent.ClaimURL); !errors.Is(err, kubbi.ErrGone) {
			t.Errorf("the second claim: %v", err)
		}
	}

	files := []kubbi.File{
		{Name: "name-marker.md", Content: "# file-marker\n", ContentType: "text/markdown", Role: "instructions"},
		{Name: "dot.png", Content: base64.StdEncoding.EncodeToString([]byte("\x89PNG\xff binary-marker")), ContentType: "image/png", Encoding: api.EncodingBase64},
		{Name: "empty.txt", ContentType: "text/plain", Role: "attachment"},
		{Name: "text-in-base64", Content: base64.StdEncoding.EncodeToString([]byte("base64-marker")), ContentType: "application/octet-stream", Encoding: api.EncodingBase64},
		{Name: "value.json", Content: `{"file-json-marker":1}`, ContentType: "application/json", Role: "data"},
		{Name: "large.bin", Content: base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("\xfflarge-binary-marker"), 1<<17)), ContentType: "application/zip", Encoding: api.EncodingBase64},
	}
	sent, err := c.SendFiles(ctx, kubbi.SendFilesParams{Files: files, Sealed: true, MaxRetrievals: 2})
	if err != nil {
		t.Fatal(err)
	}
	hide(sent.ClaimURL, "name-marker", "file-marker", "binary-marker", "base64-marker", "file-json-marker", "large-binary-marker")
	in, err := c.Inspect(ctx, sent.ClaimURL)
	if err != nil || !in.Sealed() || in.SealedText() || len(in.Files) != 1 {
		t.Fatalf("inspect: %+v, %v", in, err)
	}
	if f := in.Files[0]; f.Name != api.SealedName || f.ContentType != api.TypeSealed || f.Role != nil {
		t.Errorf("an inspect shows %+v", f)
	}
	if *sent.FileCount != len(files) || sent.ContentType != "" {
		t.Errorf("the answer to the send is %+v", sent)
	}
	got, err := c.Claim(ctx, sent.ClaimURL)
	if err != nil || len(got.Files) != len(files) {
		t.Fatalf("claim: %v", err)
	}
	parts := claimParts(t, c, sent.ClaimURL)
	for i, want := range files {
		f, role := got.Files[i], ""
		if f.Role != nil {
			role = *f.Role
		}
		if f.Name != want.Name || f.Content != want.Content || f.ContentType != want.ContentType || f.Encoding != want.Encoding || role != want.Role {
			t.Errorf("file %d differs: %.200v", i, f)
		}
		data := []byte(want.Content)
		if want.Encoding != "" {
			if data, err = base64.StdEncoding.DecodeString(want.Content); err != nil {
				t.Fatal(err)
			}
		}
		if f.SizeBytes != int64(len(data)) || parts[want.Name] != string(data) {
			t.Errorf("%s: %d bytes, want %d; in a file %.40q", f.Name, f.SizeBytes, len(data), parts[want.Name])
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for where, text := range map[string]string{"the traffic": w.text(), "the log": log.String(), "the relay's files": stored(t, relay.Dir)} {
		if len(text) < 1000 {
			t.Errorf("%s has %d bytes only", where, len(text))
		}
		for s := range secrets {
			if strings.Contains(text, s) {
				t.Errorf("%s has %q", where, s)
			}
		}
	}
	if !strings.Contains(w.text(), "POST /r/") || !strings.Contains(log.String(), "/claim") {
		t.Error("the traffic or the log was not kept")
	}
}

// canonical is JSON with its strings in one form, and all else as it is.
func canonical(t *testing.T, b []byte) string {
	t.Helper()
	v := jsontext.Value(b).Clone()
	if v.Kind() != '"' {
		return string(v)
	}
	s, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	return string(s)
}

// claimParts claims into a file and gives the parts by name.
func claimParts(t *testing.T, c *kubbi.Client, claimURL string, opts ...kubbi.ClaimOption) map[string]string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "payload"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := c.Claim(t.Context(), claimURL, append([]kubbi.ClaimOption{toFile(f)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]string{}
	for _, p := range got.Parts {
		r, err := p.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil || int64(len(b)) != p.Size {
			t.Errorf("%s: %d bytes, want %d: %v", p.Name, len(b), p.Size, err)
		}
		parts[p.Name] = string(b)
	}
	return parts
}

// Without the right key no retrieval is spent, by any call.
func TestSealedIsNotSpent(t *testing.T) {
	_, c, _, log := tappedRelay(t)
	ctx := t.Context()
	send := func(sealed bool) *kubbi.Sent {
		sent, err := c.Send(ctx, kubbi.SendParams{Content: "the-plaintext", Sealed: sealed, MaxRetrievals: 1})
		if err != nil {
			t.Fatal(err)
		}
		return sent
	}
	one, other, open := send(true), send(true), send(false)
	bare, _, _ := strings.Cut(one.ClaimURL, "#")
	key, otherKey := keyOf(t, one.ClaimURL), keyOf(t, other.ClaimURL)
	f, err := os.Create(filepath.Join(t.TempDir(), "payload"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for name, tt := range map[string]struct{ url, says string }{
		"no key":              {bare, "was lost"},
		"no key, # left":      {bare + "#", "was lost"},
		"a bare token":        {one.ClaimToken, "was lost"},
		"wrong key":           {bare + "#k=" + otherKey, "another key"},
		"a token's wrong key": {one.ClaimToken + "#k=" + otherKey, "another key"},
		"a flipped bit":       {bare + "#k=" + flipped(key), "another key"},
		"cut key":             {one.ClaimURL[:len(one.ClaimURL)-1], "not a whole key"},
		"cut to k=":           {bare + "#k=", "not a whole key"},
		"another fragment":    {bare + "#x=" + key, "not a whole key"},
		"not sealed":          {open.ClaimURL + "#k=" + key, "is not sealed"},
	} {
		_, err := c.Claim(ctx, tt.url)
		_, fileErr := c.Claim(ctx, tt.url, toFile(f))
		for _, err := range []error{err, fileErr} {
			var e *kubbi.Error
			if !errors.As(err, &e) || !errors.Is(err, kubbi.ErrSealed) || !errors.Is(err, kubbi.ErrValidation) || e.Uncertain || !strings.Contains(e.Message, tt.says) || !strings.HasSuffix(e.Message, "nothing was claimed") {
				t.Errorf("%s: %v", name, err)
				continue
			}
			for _, s := range []string{key[:20], otherKey[:20], one.ClaimToken, open.ClaimToken} {
				if strings.Contains(err.Error(), s) {
					t.Errorf("%s: the error holds a secret: %v", name, err)
				}
			}
		}
	}
	if n, err := f.Seek(0, io.SeekEnd); err != nil || n != 0 {
		t.Errorf("something was written: %d bytes, %v", n, err)
	}
	for _, sent := range []*kubbi.Sent{one, other, open} {
		in, err := c.Inspect(ctx, sent.ClaimURL)
		if err != nil || in.RetrievalCount != 0 || in.Status != api.StatusActive {
			t.Errorf("a retrieval was spent: %+v, %v", in, err)
		}
		got, err := c.Claim(ctx, " <"+sent.ClaimURL+"> ")
		if err != nil || got.Text() != "the-plaintext" {
			t.Errorf("the whole claim URL: %v", err)
		}
	}
	for _, s := range []string{key[:20], otherKey[:20], "the-plaintext"} {
		if strings.Contains(log.String(), s) {
			t.Error("the log holds a key or the payload")
		}
	}
}

// A payload that is too large for memory is opened as a stream.
func TestSealedStreams(t *testing.T) {
	const limit = 2000
	_, c, _, _ := tappedRelay(t, kubbi.WithMemoryLimit(limit))
	ctx := t.Context()
	text := strings.Repeat("x", 100*limit)
	single, err := c.Send(ctx, kubbi.SendParams{Content: text, Sealed: true})
	if err != nil {
		t.Fatal(err)
	}
	pack, err := c.SendFiles(ctx, kubbi.SendFilesParams{Files: []kubbi.File{{Name: "a", Content: text, ContentType: "text/plain"}, {Name: "b", Content: "more", ContentType: "text/plain"}}, Sealed: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{single.ClaimURL, pack.ClaimURL} {
		if _, err := c.Claim(ctx, url); err == nil || !strings.Contains(err.Error(), "larger than the limit of 2000 bytes") {
			t.Errorf("claim in memory: %v", err)
		}
		for _, p := range claimParts(t, c, url) {
			if p != text && p != "more" {
				t.Errorf("%d bytes came, another text", len(p))
			}
		}
		var got strings.Builder
		_, err := c.ClaimTo(ctx, url, nil, func(s *kubbi.Claimed) error {
			for _, p := range s.Parts {
				r, err := p.Open()
				if err == nil {
					_, err = io.Copy(&got, r)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || strings.TrimSuffix(got.String(), "more") != text {
			t.Errorf("%d bytes came under way: %v", got.Len(), err)
		}
	}
}

// A send whose answer is lost is sent again. Under its idempotency key the relay expects the
// same bytes, and makes one kubbi.
func TestSealedSendAgain(t *testing.T) {
	var lose atomic.Int32
	_, c, _, _ := tappedRelay(t, kubbi.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(req *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(req)
			if err == nil && req.URL.Path == api.PathKubbis && req.Method == http.MethodPost && lose.Add(-1) >= 0 {
				resp.Body.Close()
				return nil, errors.New("the connection broke")
			}
			return resp, err
		})
	}))
	text := strings.Repeat("again and again ", 20_000)
	for name, source := range map[string]string{"the same": text, "another": strings.ToUpper(text)} {
		before, now := count(t, c), text
		lose.Store(1)
		sent, err := c.SendFiles(t.Context(), kubbi.SendFilesParams{Sealed: true, Sources: []kubbi.Source{{
			Name: "a.txt", ContentType: "text/plain", Size: int64(len(text)),
			Open: func() (io.ReadCloser, error) {
				r := io.NopCloser(strings.NewReader(now))
				now = source // for the next attempt
				return r, nil
			},
		}}})
		if n := count(t, c) - before; n != 1 {
			t.Errorf("%s: %d kubbis were made", name, n)
		}
		if source != text {
			if !errors.Is(err, kubbi.ErrValidation) || !strings.Contains(err.Error(), "changed while it was sent") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := claimParts(t, c, sent.ClaimURL); got["a.txt"] != text {
			t.Errorf("%d bytes came", len(got["a.txt"]))
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// flipped is a key with another first bit.
func flipped(key string) string {
	first := "B"
	if key[0] == 'B' {
		first = "A"
	}
	return first + key[1:]
}
