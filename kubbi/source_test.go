package kubbi

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
)

// sourceOf is a source of these bytes, and counts what was opened and not closed.
func sourceOf(data string, open *atomic.Int64) Source {
	return Source{Size: int64(len(data)), Open: func() (io.ReadCloser, error) {
		open.Add(1)
		return &counted{iotest.HalfReader(strings.NewReader(data)), open}, nil
	}}
}

type counted struct {
	io.Reader
	open *atomic.Int64
}

func (c *counted) Close() error { c.open.Add(-1); return nil }

// TestSourceBody: a source makes the same body as the same content in memory.
func TestSourceBody(t *testing.T) {
	texts := map[string]string{
		"short":  "héllo\n\"x\"\u2028",
		"empty":  "",
		"long":   strings.Repeat("héllo \\ wörld 🎉\n", 20000),
		"odd":    strings.Repeat("é", sourceBuffer/2) + "x" + strings.Repeat("🎉", sourceBuffer),
		"binary": strings.Repeat("\x00\x01\x02", sourceBuffer) + "\x03",
	}
	for name, data := range texts {
		t.Run(name, func(t *testing.T) {
			var s seen
			var open atomic.Int64
			var progress steps
			c, _ := serve(t, failing(&s, 1, func(w http.ResponseWriter, r *http.Request) { cut() }))
			src := sourceOf(data, &open)
			if _, err := c.Send(t.Context(), SendParams{Source: &src, MaxRetrievals: 1, Progress: progress.report}); err != nil {
				t.Fatal(err)
			}
			text, binary := src, src
			text.Name, text.ContentType, text.Role = "a.txt", "text/x", "data"
			binary.Name, binary.ContentType, binary.Encoding = "b.bin", "application/octet-stream", api.EncodingBase64
			if _, err := c.SendFiles(t.Context(), SendFilesParams{Sources: []Source{text, binary}}); err != nil {
				t.Fatal(err)
			}
			if _, err := c.SendFiles(t.Context(), SendFilesParams{Sources: []Source{binary}}); err != nil {
				t.Fatal(err)
			}
			if open.Load() != 0 {
				t.Errorf("%d sources are still open", open.Load())
			}
			reqs := s.all()
			if len(reqs) != 4 {
				t.Fatalf("%d requests", len(reqs))
			}
			if reqs[3].length != int64(len(reqs[3].body)) {
				t.Errorf("length of base64 is given as %d, and is %d", reqs[3].length, len(reqs[3].body))
			}
			if data != "" && (reqs[1].length != -1 || reqs[2].length != -1) {
				t.Errorf("length of text is given as %d and %d before it is known", reqs[1].length, reqs[2].length)
			}
			one := 1
			quoted, _ := json.Marshal(data)
			encoded := base64.StdEncoding.EncodeToString([]byte(data))
			for i, want := range map[int]api.CreateRequest{
				1: {Content: quoted, ContentType: api.TypeText, MaxRetrievals: &one, TTLSeconds: 3600},
				2: {Files: []File{
					{Name: "a.txt", Content: data, ContentType: "text/x", Role: "data"},
					{Name: "b.bin", Content: encoded, ContentType: "application/octet-stream", Encoding: api.EncodingBase64},
				}, TTLSeconds: 3600},
			} {
				var got api.CreateRequest
				if err := json.Unmarshal([]byte(reqs[i].body), &got); err != nil {
					t.Fatalf("request %d is not JSON: %v", i, err)
				}
				if got.Content != nil {
					var a, b string
					if json.Unmarshal(got.Content, &a) != nil || json.Unmarshal(want.Content, &b) != nil || a != b {
						t.Errorf("request %d: content is %.60q", i, a)
					}
					got.Content, want.Content = nil, nil
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("request %d (-want +got):\n%.2000s", i, diff)
				}
			}
			again := len(progress.done) - 1
			for again > 0 && progress.done[again] != 0 {
				again--
			}
			(&steps{progress.done[again:], progress.total[again:]}).check(t, progress.total[0])
		})
	}
}

func TestSourceJSON(t *testing.T) {
	var open atomic.Int64
	for data, ok := range map[string]bool{
		` {"a":[1e400,"` + strings.Repeat("x", 100<<10) + `"],"a":2} `: true,
		`"text"`:                        true,
		`null`:                          true,
		``:                              false,
		`1,"metadata":{}`:               false,
		`1 2`:                           false,
		`{"a":1}}`:                      false,
		`{"a":`:                         false,
		`"` + strings.Repeat("x", 5000): false,
		"\"\xff\"":                      false,
	} {
		var s seen
		c, _ := serve(t, failing(&s, 0, nil))
		src := sourceOf(data, &open)
		src.ContentType = api.TypeJSON
		_, err := c.Send(t.Context(), SendParams{Source: &src})
		switch {
		case ok && err != nil:
			t.Errorf("%.20s: %v", data, err)
		case ok && s.all()[0].body != `{"content":`+data+`,"content_type":"application/json","ttl_seconds":3600}`:
			t.Errorf("%.20s: sent %.80s", data, s.all()[0].body)
		case !ok && (!errors.Is(err, ErrValidation) || len(s.all()) > 0):
			t.Errorf("%.20s: got %v and %d requests", data, err, len(s.all()))
		}
	}
	if open.Load() != 0 {
		t.Errorf("%d sources are still open", open.Load())
	}
}

// TestSourceFaults: a source that is not what it says ends the call, without a whole request
// and without a second attempt.
func TestSourceFaults(t *testing.T) {
	const marker = "payload-marker"
	var open atomic.Int64
	big := strings.Repeat("x", 3*sourceBuffer)
	resized := func(by int64) Source {
		s := sourceOf(big, &open)
		s.Size += by
		return s
	}
	changing := func() Source {
		n := 0
		s := sourceOf(`["`+big+`"]`, &open)
		s.ContentType = api.TypeJSON
		s.Open = func() (io.ReadCloser, error) {
			n++
			return io.NopCloser(strings.NewReader(`["` + strings.Repeat(string(rune('a'+n)), len(big)) + `"]`)), nil
		}
		return s
	}
	broken := Source{Size: 10, Open: func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(fs.ErrInvalid))), nil
	}}
	for name, tt := range map[string]struct {
		src  Source
		want string
		is   error
	}{
		"fewer":                  {src: resized(1), want: "fewer bytes"},
		"more":                   {src: resized(-1), want: "more bytes"},
		"not text":               {src: sourceOf(big+marker+"\xff"+big, &open), want: "not valid UTF-8"},
		"half a rune at the end": {src: sourceOf(big+"\xe2\x82", &open), want: "not valid UTF-8"},
		"unreadable":             {src: broken, want: "can't be read", is: fs.ErrInvalid},
		"not there":              {src: Source{Size: 1, Open: func() (io.ReadCloser, error) { return nil, fs.ErrNotExist }}, want: "can't be read", is: fs.ErrNotExist},
		"changed":                {src: changing(), want: "has changed"},
		"negative":               {src: resized(-int64(len(big)) - 1), want: "size"},
		"encoded":                {src: Source{Encoding: api.EncodingBase64, Open: broken.Open}, want: "no encoding"},
	} {
		for _, raw := range []bool{false, true} {
			var requests, whole atomic.Int64
			c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				if _, err := io.Copy(io.Discard, r.Body); err == nil {
					whole.Add(1)
				}
				answer(w, http.StatusCreated, okSent)
			})
			if raw {
				if name == "changed" {
					continue // a relay looks at JSON itself
				}
				c = newTest(t, "http://127.0.0.1:1", WithTransport(transportFunc(func(r *http.Request) (*http.Response, error) {
					requests.Add(1) // as a relay in this process, which reads no further than it must
					if _, err := io.ReadFull(r.Body, make([]byte, r.ContentLength)); err != nil {
						return nil, err
					}
					whole.Add(1)
					return nil, errors.New("all has come")
				})), WithRetries(0))
				c.service.raw.Store(true)
			}
			_, err := c.Send(t.Context(), SendParams{Source: &tt.src})
			e := asError(t, err)
			if !errors.Is(err, ErrValidation) || !strings.Contains(e.Message, tt.want) || e.Uncertain || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%s, raw %v: got %v, want %q", name, raw, err, tt.want)
			}
			wantNone(t, "error", err.Error(), marker)
			if whole.Load() != 0 || requests.Load() > 1 {
				t.Errorf("%s, raw %v: %d requests, %d whole", name, raw, requests.Load(), whole.Load())
			}
		}
	}
	if open.Load() != 0 {
		t.Errorf("%d sources are still open", open.Load())
	}
	c, _ := serve(t, func(http.ResponseWriter, *http.Request) {})
	src := sourceOf("x", &open)
	if _, err := c.Send(t.Context(), SendParams{Source: &src, Content: "x"}); !errors.Is(err, ErrValidation) {
		t.Errorf("source and content: %v", err)
	}
	if _, err := c.SendFiles(t.Context(), SendFilesParams{Sources: []Source{src}, Files: []File{{}}}); !errors.Is(err, ErrValidation) {
		t.Errorf("sources and files: %v", err)
	}
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestSourceMemory sends more than it may hold.
func TestSourceMemory(t *testing.T) {
	testkit.OnlyPlain(t, "memory is measured, and the race detector takes its own")
	const size = 64 << 20
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		answer(w, http.StatusCreated, okSent)
	})
	zeros := Source{Name: "a", ContentType: "a/b", Size: size, Open: func() (io.ReadCloser, error) {
		return io.NopCloser(io.LimitReader(zeroes{}, size)), nil
	}}
	encoded := zeros
	encoded.Name, encoded.Encoding = "b", api.EncodingBase64
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := c.SendFiles(t.Context(), SendFilesParams{Sources: []Source{zeros, encoded}}); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
		t.Errorf("sending %d bytes allocated %d", size, n)
	}
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}
