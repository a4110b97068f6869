package kubbi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/kubbi/api"
)

// rawWire is a service that speaks raw bodies only. It takes one create, and gives its
// payload to every claim.
type rawWire struct {
	t     *testing.T
	mu    sync.Mutex
	head  api.RawCreate
	bytes []byte
	asked int // for /health
	keys  []string
	grace string
	cut   int // so many claims end before the payload does
}

func (s *rawWire) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set(api.HeaderAcceptPost, api.TypeJSON+", "+api.TypeRaw)
	switch r.Method + r.URL.Path {
	case "GET" + api.PathHealth:
		s.asked++
		answer(w, http.StatusOK, api.Health{})
	case "POST" + api.PathKubbis:
		s.create(w, r)
	case "POST" + api.PathClaim + testToken + api.SuffixClaim:
		s.claim(w, r)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

func (s *rawWire) create(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Content-Type") != api.TypeRaw {
		io.Copy(io.Discard, r.Body)
		answer(w, http.StatusCreated, okSent)
		return
	}
	body := bufio.NewReader(r.Body)
	line, err := api.ReadRawHead(body)
	if err != nil {
		s.t.Error(err)
	}
	s.head = api.RawCreate{}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s.head); err != nil {
		s.t.Error(err)
	}
	if s.bytes, err = io.ReadAll(body); err != nil {
		refuse(w, api.CodeValidation, "cut short")
		return
	}
	var size int64
	for _, f := range s.head.Files {
		size += f.SizeBytes
	}
	if s.head.ContentBytes != nil {
		size += *s.head.ContentBytes
	}
	if (s.head.ContentBytes == nil) == (s.head.Files == nil) || size != int64(len(s.bytes)) || r.ContentLength != int64(len(line)+1)+size {
		s.t.Errorf("a head of %d bytes, a content of %d of %d bytes, a length of %d", len(line), len(s.bytes), size, r.ContentLength)
	}
	answer(w, http.StatusCreated, okSent)
}

func (s *rawWire) claim(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.Header.Get("Accept"), api.TypeRaw) {
		s.t.Errorf("a claim accepts %s", r.Header.Get("Accept"))
	}
	s.keys = append(s.keys, r.Header.Get(api.HeaderIdempotencyKey))
	head := api.RawClaim{ContentType: s.head.ContentType, ContentBytes: s.head.ContentBytes, Files: s.head.Files, Metadata: s.head.Metadata, Burned: true, CreatedAt: api.Time{Time: time.Now()}}
	if head.Files != nil {
		head.Type = api.TypePackage
	}
	body, err := api.AppendRawHead(nil, head)
	if err != nil {
		s.t.Error(err)
	}
	body = append(body, s.bytes...)
	w.Header().Set("Content-Type", api.TypeRaw)
	w.Header().Set(api.HeaderClaimGrace, s.grace)
	w.Header().Set("Content-Length", itoa(len(body)))
	if s.cut--; s.cut >= 0 {
		w.Write(body[:len(body)-1])
		cut()
	}
	w.Write(body)
}

// onWire makes a client of a service that speaks the raw wire.
func onWire(t *testing.T, opts ...Option) (*Client, *rawWire) {
	s := &rawWire{t: t, grace: "60"}
	c, _ := serve(t, s.ServeHTTP, opts...)
	c.service = new(service)
	return c, s
}

// TestRawWire sends payloads of all kinds raw, and claims them in every way.
func TestRawWire(t *testing.T) {
	large := strings.Repeat("héllo \\ \"wörld\"\n", 20000)
	binary := strings.Repeat("\x00\xff\x01", 50000)
	source := func(data string, s Source) *Source {
		s.Size, s.Open = int64(len(data)), sourceWith(data).Open
		return &s
	}
	type sends func(*Client) (*Sent, error)
	content := func(p SendParams) sends {
		p.Metadata = map[string]string{"k": "<&>"}
		return func(c *Client) (*Sent, error) { return c.Send(t.Context(), p) }
	}
	files := func(p SendFilesParams) sends {
		return func(c *Client) (*Sent, error) { return c.SendFiles(t.Context(), p) }
	}
	for name, tt := range map[string]struct {
		send sends
		want []string
	}{
		"text":              {content(SendParams{Content: "héllo\n"}), []string{"héllo\n"}},
		"large text":        {content(SendParams{Content: large}), []string{large}},
		"empty":             {content(SendParams{Content: "", ContentType: api.TypeMarkdown}), []string{""}},
		"escaped":           {content(SendParams{Content: jsontext.Value(` "\ud83c\udf89\u0000" `)}), []string{"🎉\x00"}},
		"JSON":              {content(SendParams{Content: json.RawMessage(`{"a": [1e400,"x"] ,"a":2}`)}), []string{`{"a": [1e400,"x"] ,"a":2}`}},
		"a string as JSON":  {content(SendParams{Content: "x", ContentType: api.TypeJSON}), []string{`"x"`}},
		"source":            {content(SendParams{Source: source(large, Source{ContentType: api.TypeCSV})}), []string{large}},
		"JSON source":       {content(SendParams{Source: source(`["`+strings.Repeat("x", 1<<20)+`"]`, Source{ContentType: api.TypeJSON})}), []string{`["` + strings.Repeat("x", 1<<20) + `"]`}},
		"empty source":      {content(SendParams{Source: source("", Source{})}), []string{""}},
		"files":             {files(SendFilesParams{Files: []File{{Name: "a", Content: "é\n", ContentType: "a/b"}, {Name: "b", Content: "AP8B", Encoding: api.EncodingBase64, ContentType: "a/b", Role: "data"}, {Name: "c", ContentType: "a/b"}, {Name: "d", Encoding: api.EncodingBase64, ContentType: "a/b"}}}), []string{"é\n", "\x00\xff\x01", "", ""}},
		"files as sources":  {files(SendFilesParams{Sources: []Source{*source(binary, Source{Name: "a", ContentType: "a/b", Encoding: api.EncodingBase64}), *source(large, Source{Name: "b", ContentType: "text/x"})}}), []string{binary, large}},
		"a file of 1 MiB":   {files(SendFilesParams{Files: []File{{Name: "a", Content: strings.Repeat("AAAA", 1<<18), Encoding: api.EncodingBase64, ContentType: "a/b"}}}), []string{strings.Repeat("\x00\x00\x00", 1<<18)}},
		"padding, one":      {files(SendFilesParams{Files: []File{{Name: "a", Content: "aGk=", Encoding: api.EncodingBase64, ContentType: "a/b"}}}), []string{"hi"}},
		"padding, two":      {files(SendFilesParams{Files: []File{{Name: "a", Content: "aA==", Encoding: api.EncodingBase64, ContentType: "a/b"}}}), []string{"h"}},
		"names of a script": {files(SendFilesParams{Files: []File{{Name: "отчёт.csv", Content: "x", ContentType: "a/b"}}}), []string{"x"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, s := onWire(t)
			if _, err := c.FileNames(t.Context(), []string{"é"}); err != nil { // which tells of raw bodies as well
				t.Fatal(err)
			}
			if _, err := tt.send(c); err != nil {
				t.Fatal(err)
			}
			if s.head.TTLSeconds != 3600 || string(s.bytes) != strings.Join(tt.want, "") || s.asked != 1 {
				t.Fatalf("the service was asked %d times and got %+v, and %.100q", s.asked, s.head, s.bytes)
			}
			check := func(how string, got *Claimed, all []string, err error) {
				t.Helper()
				if err != nil || !slices.Equal(all, tt.want) || !got.Burned || got.CreatedAt.IsZero() {
					t.Errorf("%s: %v, %.200q, %+v", how, err, all, got)
				}
				if m := string(got.Metadata); got.Files == nil && m != `{"k":"<&>"}` && m != `{"k":"\u003c\u0026\u003e"}` {
					t.Errorf("%s: metadata %s", how, m)
				}
			}
			claimed, err := c.Claim(t.Context(), testToken, looked())
			if err != nil {
				t.Fatal(err)
			}
			check("claim", claimed, contents(t, claimed), nil)

			got, err := c.Claim(t.Context(), testToken, toFile(payloadFile(t)), looked())
			if err != nil {
				t.Fatal(err)
			}
			check("in a file", got, contents(t, got), nil)
			var text bytes.Buffer
			if err := got.WriteAnswer(&text); err != nil {
				t.Errorf("as an answer: %v", err)
			}
			var again api.ClaimResponse
			if err := json.Unmarshal(text.Bytes(), &again); err != nil {
				t.Errorf("as an answer: %v: %.200s", err, text.Bytes())
			}
			parts := &Claimed{ClaimResponse: again, Parts: partsOf(&again)}
			check("as an answer", parts, contents(t, parts), nil)
			if err := got.Load(); err != nil || string(got.Content) != string(claimed.Content) || !slices.EqualFunc(got.Files, claimed.Files, func(a, b api.ClaimedFile) bool { return a.Content == b.Content && a.Encoding == b.Encoding }) {
				t.Errorf("as a whole: %.200s, %v", got.Content, err)
			}
			check("as a whole", got, contents(t, got), nil)

			for _, limit := range []int64{10, 64 << 20} {
				got, err := c.Claim(t.Context(), testToken, Within(limit), ToFile(func() (PayloadFile, error) { return payloadFile(t), nil }), looked())
				if err != nil {
					t.Fatal(err)
				}
				check(fmt.Sprint("within ", limit), got, contents(t, got), nil)
				if small := len(strings.Join(tt.want, "")) <= int(limit); got.InFile == small {
					t.Errorf("within %d: in a file %v", limit, got.InFile)
				}
			}

			for _, s.grace = range []string{"60", ""} {
				var all []string
				files := 0
				got, err = c.ClaimTo(t.Context(), testToken, func() (PayloadFile, error) { files++; return payloadFile(t), nil }, func(got *Claimed) error {
					all = nil
					for _, p := range got.Parts {
						r, err := p.Open()
						if err != nil {
							return err
						}
						b, err := io.ReadAll(r)
						if all = append(all, string(b)); err != nil {
							return err
						}
					}
					return nil
				}, looked(), HoldGrace())
				check("to", got, all, err)
				if (got.Grace > 0) != (files == 0) {
					t.Errorf("a grace of %v and %d files", got.Grace, files)
				}
			}
		})
	}
}

// TestRawWireCut: an answer that is cut one byte before its end is asked for again under the
// same key. If all are cut, the error says that the claim may have counted.
func TestRawWireCut(t *testing.T) {
	claims := func(c *Client) map[string]func(opts ...ClaimOption) (string, error) {
		return map[string]func(...ClaimOption) (string, error){
			"memory": func(opts ...ClaimOption) (string, error) {
				got, err := c.Claim(t.Context(), testToken, opts...)
				if err != nil {
					return "", err
				}
				return got.Text(), nil
			},
			"file": func(opts ...ClaimOption) (string, error) {
				got, err := c.Claim(t.Context(), testToken, append(opts, toFile(payloadFile(t)))...)
				if err != nil {
					return "", err
				}
				return contents(t, got)[0], nil
			},
			"to": func(opts ...ClaimOption) (text string, err error) {
				_, err = c.ClaimTo(t.Context(), testToken, nil, func(got *Claimed) error {
					r, err := got.Parts[0].Open()
					if err != nil {
						return err
					}
					b, err := io.ReadAll(r)
					text = string(b)
					return err
				}, opts...)
				return text, err
			},
		}
	}
	text := strings.Repeat("x", 3<<20)
	c, s := onWire(t)
	if _, err := c.Send(t.Context(), SendParams{Content: text}); err != nil {
		t.Fatal(err)
	}
	for name, claim := range claims(c) {
		s.cut, s.keys = 1, nil
		if got, err := claim(looked()); err != nil || got != text || len(s.keys) != 2 || s.keys[0] != s.keys[1] {
			t.Errorf("%s: cut once: %d bytes, %v, keys %q", name, len(got), err, s.keys)
		}
		s.cut, s.keys = 9, nil
		_, err := claim(looked())
		if !errors.Is(err, ErrNetwork) || !asError(t, err).Uncertain || len(s.keys) != 3 {
			t.Errorf("%s: cut always: %v, keys %q", name, err, s.keys)
		}
		s.cut = 0
	}
}

// TestRawWireTakeFails: if the caller's function fails, the payload is not asked for again
// and the grace is not ended. Without a grace the payload is in the file.
func TestRawWireTakeFails(t *testing.T) {
	full := errors.New("disk full")
	for _, grace := range []string{"60", ""} {
		c, s := onWire(t)
		text := strings.Repeat("x", askAbove+1)
		if _, err := c.Send(t.Context(), SendParams{Content: text}); err != nil {
			t.Fatal(err)
		}
		s.grace = grace
		got, err := c.ClaimTo(t.Context(), testToken, func() (PayloadFile, error) { return payloadFile(t), nil }, func(*Claimed) error { return full }, looked(), HoldGrace())
		if err != full || got == nil || len(s.keys) != 1 {
			t.Fatalf("%q: %v, %v after %d claims", grace, got, err, len(s.keys))
		}
		if grace == "" {
			if all := contents(t, got); all[0] != text {
				t.Errorf("kept %.100q", all)
			}
		} else if got.Grace == 0 {
			t.Error("it can't be claimed again")
		}
	}
}

// TestRawWireRefused: a create that no raw body can express goes as JSON, for the service to
// refuse. A create that is refused as a raw body goes as JSON.
func TestRawWireRefused(t *testing.T) {
	var types []string
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		types = append(types, r.Method+" "+r.Header.Get("Content-Type"))
		io.Copy(io.Discard, r.Body)
		if r.Method == http.MethodGet {
			w.Header().Set(api.HeaderAcceptPost, "text/x, Application/vnd.kubbi.raw;q=1")
			return
		}
		if r.Header.Get("Content-Type") == api.TypeRaw {
			w.WriteHeader(http.StatusUnsupportedMediaType)
			return
		}
		answer(w, http.StatusCreated, okSent)
	})
	c.service = new(service)
	text := strings.Repeat("x", askAbove+1)
	for range 2 {
		if _, err := c.Send(t.Context(), SendParams{Content: text}); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"GET ", "POST " + api.TypeRaw, "POST " + api.TypeJSON, "POST " + api.TypeJSON}; !slices.Equal(types, want) {
		t.Errorf("got %q, want %q", types, want)
	}
	c, s := onWire(t)
	for _, p := range []SendParams{{Content: "small"}, {Content: 1, ContentType: api.TypeText}} {
		if _, err := c.Send(t.Context(), p); err != nil || s.bytes != nil || s.asked != 0 {
			t.Errorf("%v: %v, raw %q, asked %d times", p.Content, err, s.bytes, s.asked)
		}
	}
	for _, content := range []string{"A", "AA\n==", "AB==", "A===", "====", "A-A=", "AAAA=AAA"} {
		_, err := c.SendFiles(t.Context(), SendFilesParams{Files: []File{{Name: "a", Content: content, Encoding: api.EncodingBase64, ContentType: "a/b"}}})
		if !errors.Is(err, ErrValidation) || !strings.Contains(err.Error(), "must be base64") || asError(t, err).Uncertain {
			t.Errorf("%q: %v", content, err)
		}
	}
}

// TestRawWireCancel cancels a claim in the middle: the error says that it may have counted.
func TestRawWireCancel(t *testing.T) {
	c, s := onWire(t)
	if _, err := c.Send(t.Context(), SendParams{Content: strings.Repeat("x", 8<<20)}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := c.Claim(ctx, testToken, toFile(payloadFile(t)), looked(), WithProgress(func(done, _ int64) {
		if done > 4<<20 {
			cancel()
		}
	}))
	if !errors.Is(err, context.Canceled) || !asError(t, err).Uncertain || len(s.keys) != 1 {
		t.Errorf("%v after %d claims", err, len(s.keys))
	}
}

// TestTooLargeToClaim: a payload that is known to be too large is refused before it counts.
func TestTooLargeToClaim(t *testing.T) {
	for _, raw := range []bool{false, true} {
		claims := 0
		c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if raw {
				w.Header().Set(api.HeaderAcceptPost, api.TypeRaw)
			}
			if r.Method == http.MethodPost {
				claims++
				w.Header().Set("Content-Type", api.TypeRaw)
				io.WriteString(w, `{"content_bytes":3000,"content_type":"text/plain"}`+"\n"+strings.Repeat("x", 3000))
			}
		}, WithMemoryLimit(1000), WithFileLimit(10000))
		seen := func(n int64) ClaimOption { return WithInspected(&Inspected{PayloadSize: n, PayloadSizeKnown: true}) }
		_, err := c.Claim(t.Context(), testToken, seen(3000))
		if !errors.Is(err, ErrValidation) || !strings.Contains(err.Error(), "nothing was claimed") || claims != 0 {
			t.Errorf("into memory: %v after %d claims", err, claims)
		}
		_, err = c.Claim(t.Context(), testToken, toFile(payloadFile(t)), seen(3000))
		if raw && err != nil || !raw && (!errors.Is(err, ErrValidation) || claims != 0) {
			t.Errorf("raw %v: %v after %d claims", raw, err, claims)
		}
		if _, err = c.Claim(t.Context(), testToken, toFile(payloadFile(t)), seen(10001)); !errors.Is(err, ErrValidation) {
			t.Errorf("raw %v: far too large: %v", raw, err)
		}
	}
}
