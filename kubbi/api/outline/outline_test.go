package outline

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

func TestOutline(t *testing.T) {
	for in, want := range map[string]string{
		`{"a":"1234"}`:  `{"a":"1234"}`,
		`{"a":"12345"}`: `{"a":""}`,
		`{"a":"12345" , "b" : ["x","\u0031\"\\345"]}`:            `{"a":"" , "b" : ["x",""]}`,
		`{"longer than it":"12"}`:                                `{"longer than it":"12"}`,
		`{"content":{"a":1}}`:                                    `{"content":{}}`,
		`{"c\u006fntent":[1,2,3]}`:                               `{"c\u006fntent":{}}`,
		`{"content":[1]}`:                                        `{"content":[1]}`,
		`{"content":[["]\\","}\""]] ,"b":{"content":[1,2,3,4]}}`: `{"content":{} ,"b":{"content":[1,2,3,4]}}`,
		`{"files":[{"content":[1,2,3]}]}`:                        `{"files":[{"content":[1,2,3]}]}`,
		`[{"content":[1,2,3]},"content",[1,2,3]]`:                `[{"content":[1,2,3]},"",[1,2,3]]`,
		`{"content":1234567}`:                                    `{"content":1234567}`,
		`{"a":"content","b":[1,2,3,4]}`:                          `{"a":"","b":[1,2,3,4]}`,
		`"12345"`:                                                `""`,
		``:                                                       ``,
		`}]}`:                                                    `}]}`,
	} {
		var kept bytes.Buffer
		c := Config{Short: 4, Max: 1 << 10, Content: true, Keep: func(p []byte) error { kept.Write(p); return nil }}
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(in), "bytes": iotest.OneByteReader(strings.NewReader(in))} {
			kept.Reset()
			got, err := Read(r, c)
			if err != nil || string(got.JSON) != want {
				t.Errorf("%s, %s: got %v, %v", in, name, got, err)
				continue
			}
			checkSpans(t, in, got, kept.String())
		}
	}
}

// checkSpans puts what was left out back in.
func checkSpans(t *testing.T, in string, o *Outline, kept string) {
	t.Helper()
	var b strings.Builder
	at := 0
	for i, v := range o.Left {
		raw := in[v.Start:v.End]
		inside := raw
		if v.String {
			inside = raw[1 : len(raw)-1]
		}
		if !strings.HasPrefix(kept[v.Kept:], inside) {
			t.Errorf("%s: kept of value %d is not %s", in, i, inside)
		}
		if o.Pos(v.At) != v.Start || o.Pos(v.At+standIn) != v.End {
			t.Errorf("%s: value %d is at %d to %d, want %d to %d", in, i, o.Pos(v.At), o.Pos(v.At+standIn), v.Start, v.End)
		}
		if l := o.In(v.At, v.At+standIn); len(l) != 1 || l[0] != v {
			t.Errorf("%s: In gives %v", in, l)
		}
		if v.String {
			plain, err := jsontext.AppendUnquote(nil, raw)
			if err != nil || int64(len(plain)) != v.Bytes {
				t.Errorf("%s: value %d has %d bytes, want %d (%v)", in, i, v.Bytes, len(plain), err)
			}
			want := int64(-1)
			dec, err := base64.StdEncoding.Strict().DecodeString(string(plain))
			if err == nil && !bytes.ContainsAny(plain, "\r\n") {
				want = int64(len(dec))
			}
			if v.Base64 != want {
				t.Errorf("%s: value %d is base64 of %d bytes, want %d", in, i, v.Base64, want)
			}
		}
		b.Write(o.JSON[at:v.At])
		b.WriteString(raw)
		at = v.At + standIn
	}
	b.Write(o.JSON[at:])
	if b.String() != in {
		t.Errorf("%s: put together it is %s", in, b.String())
	}
}

func TestFaults(t *testing.T) {
	long := strings.Repeat("x", Short)
	for in, want := range map[string]error{
		`"` + long:                             io.ErrUnexpectedEOF,
		`"` + long + `x`:                       io.ErrUnexpectedEOF,
		`{"content":[` + long:                  io.ErrUnexpectedEOF,
		`"` + long + "\xff" + `"`:              ErrUTF8,
		`"` + long + "\xc3" + `"`:              ErrUTF8,
		`"` + long + "\n" + `"`:                ErrSyntax,
		`"` + long + `\x"`:                     ErrSyntax,
		`"` + long + `\u12"`:                   ErrSyntax,
		`"` + long + `\u123g"`:                 ErrSyntax,
		`"` + long + `\ud800"`:                 ErrSurrogate,
		`"` + long + `\ud800\n"`:               ErrSurrogate,
		`"` + long + `\ud800\u0041"`:           ErrSurrogate,
		`"` + long + `\udc00\ud800"`:           ErrSurrogate,
		strings.Repeat("[", maxDepth+1):        ErrSyntax,
		`["` + strings.Repeat(`a","`, 100<<10): ErrTooLarge,
		strings.Repeat(" ", 300<<10):           ErrTooLarge,
		strings.Repeat("1", 300<<10):           ErrTooLarge,
	} {
		for _, r := range []io.Reader{strings.NewReader(in), iotest.HalfReader(strings.NewReader(in))} {
			if _, err := Read(r, Config{Max: 256 << 10, Content: true}); !errors.Is(err, want) {
				t.Errorf("%.20s...%s: got %v, want %v", in, in[max(0, len(in)-10):], err, want)
			}
		}
	}
	boom := errors.New("boom")
	if _, err := Read(iotest.ErrReader(boom), Config{Max: 10}); err != boom {
		t.Errorf("a reader's error: got %v", err)
	}
	if _, err := Read(strings.NewReader(`"`+long+`x"`), Config{Max: 10, Keep: func([]byte) error { return boom }}); err != boom {
		t.Errorf("an error of Keep: got %v", err)
	}
}

func TestReaderBoundsTokens(t *testing.T) {
	for _, in := range []string{strings.Repeat("1", maxToken+1), `{"` + strings.Repeat("x", maxToken+1) + `":1}`} {
		if _, err := io.Copy(io.Discard, NewReader(strings.NewReader(in))); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%.10s...: got %v", in, err)
		}
	}
}

func TestWholeRunes(t *testing.T) {
	const s = "aé€😀"
	for n := range len(s) + 1 {
		want := n
		for want > 0 && !utf8.ValidString(s[:want]) {
			want--
		}
		if got := WholeRunes([]byte(s[:n])); got != want {
			t.Errorf("%q: %d, want %d", s[:n], got, want)
		}
	}
}

// FuzzOutline compares with a decoder that holds the whole text.
func FuzzOutline(f *testing.F) {
	for _, s := range []string{
		`{"content":"aGVsbG8=","files":[{"name":"a","content":"\u00e9\ud83d\ude00"}]}`,
		`{"content":{"a":["}\"",1e5,null]},"ttl_seconds":60}`, `"\ud800"`, "\"\xff1234\"", `[[[]]]`, `{"a":1,"a":2}`,
	} {
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, in []byte, step uint8) {
		for _, content := range []bool{false, true} {
			var kept bytes.Buffer
			r := &steps{in, int(step%7) + 1}
			got, err := Read(r, Config{Short: 3, Max: 1 << 20, Content: content, Keep: func(p []byte) error { kept.Write(p); return nil }})
			valid := jsontext.Value(in).IsValid()
			if valid && err != nil {
				t.Fatalf("valid JSON is refused: %v", err)
			}
			if err != nil {
				continue
			}
			if !content && jsontext.Value(got.JSON).IsValid() != valid {
				t.Fatalf("the outline %q of %q is not as valid as it", got.JSON, in)
			}
			if valid {
				checkSpans(t, string(in), got, kept.String())
			}
			if !content {
				stream := &Reader{r: &steps{in, 3}, s: &scanner{limit: 3, mark: -1, stream: true}, buf: make([]byte, 5)}
				s, err := io.ReadAll(stream)
				if err != nil || !bytes.Equal(s, got.JSON) {
					t.Fatalf("as a stream the outline is %q (%v), want %q", s, err, got.JSON)
				}
			}
		}
	})
}

// steps reads a few bytes at a time.
type steps struct {
	rest []byte
	n    int
}

func (s *steps) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.n)], s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// FuzzText compares what is decoded in pieces with what is decoded at once.
func FuzzText(f *testing.F) {
	f.Add([]byte(`a\n\u00e9\ud83d\ude00é`), uint8(1))
	f.Add([]byte(`aGVsbG8=`), uint8(2))
	f.Fuzz(func(t *testing.T, in []byte, step uint8) {
		if bytes.IndexByte(bytes.ReplaceAll(in, []byte(`\"`), nil), '"') >= 0 {
			return // ends the string
		}
		quoted := append(append([]byte{'"'}, in...), '"')
		want, wantErr := jsontext.AppendUnquote(nil, quoted)
		if wantErr == nil && jsontext.Value(quoted).IsValid() != true {
			return
		}
		got, err := io.ReadAll(NewTextReader(&steps{in, int(step%13) + 1}))
		if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(got, want) {
			t.Fatalf("%q: got %q, %v; want %q, %v", in, got, err, want, wantErr)
		}
		plain, err := io.ReadAll(NewBase64Reader(&steps{in, int(step%13) + 1}))
		want, wantErr = base64.StdEncoding.Strict().DecodeString(string(in))
		if bytes.ContainsAny(in, "\r\n") {
			wantErr = ErrBase64
		}
		if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(plain, want) {
			t.Fatalf("base64 %q: got %q, %v; want %q, %v", in, plain, err, want, wantErr)
		}
	})
}
