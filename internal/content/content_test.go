package content

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// checked runs a check over content in pieces of that many bytes.
func checked(c Check, content []byte, piece int) string {
	for len(content) > 0 {
		n := min(piece, len(content))
		if fault := c.Write(content[:n]); fault != "" {
			return fault
		}
		content = content[n:]
	}
	return c.End()
}

// FuzzChecks compares the checks of content that comes in pieces with those of
// content that is whole.
func FuzzChecks(f *testing.F) {
	for _, s := range []string{
		`{"a":[1,-0,0.5,1e5,-1.25E-7,1E+2,true,false,null,"x\n\u00e9\ud83d\ude00\\\"\/"],"a":{}, "b" : [ ] }`, " 0 ", `""`, `"\ud800"`, `"\ude00\ud83d"`, `"\ud83d\n"`,
		`01`, `-`, `1.`, `.5`, `1e`, `1e+`, `--1`, `tru`, `nul1`, `[1,]`, `{"a":1,}`, `{"a"}`, `{1:2}`, `[}`, `{]`, `]`, `1 2`, `[1 2]`, `,`, ``, ` `, "\"\n\"", "\"\xff\"", "\"\xf0\x9f\x98\x80\"", "\xef\xbb\xbf1",
		strings.Repeat("[", 10000) + strings.Repeat("]", 10000), strings.Repeat("[", 10001) + strings.Repeat("]", 10001), "é😀", "a\xf0\x9f", `{"a":1}x`, `{"a" 1}`, `[1,,2]`, `"\x"`, `"\u12g4"`,
	} {
		f.Add([]byte(s), byte(3))
	}
	f.Fuzz(func(t *testing.T, content []byte, piece byte) {
		n := int(piece)%17 + 1
		if want, got := utf8.Valid(content), checked(&Text{}, content, n); want != (got == "") {
			t.Errorf("text %q: %q", content, got)
		}
		d := jsontext.NewDecoder(bytes.NewReader(content), jsontext.AllowDuplicateNames(true))
		err := d.SkipValue()
		if err == nil {
			if _, more := d.ReadToken(); !errors.Is(more, io.EOF) {
				err = errors.New("more follows")
			}
		}
		got := checked(&JSON{}, content, n)
		if (err == nil) != (got == "") {
			t.Errorf("JSON %q: %q, want %v", content, got, err)
		}
		if whole := checked(&JSON{}, content, len(content)+1); (whole == "") != (got == "") {
			t.Errorf("JSON %q: whole it is %q, in pieces %q", content, whole, got)
		}
	})
}

// TestText cuts texts wherever they can be cut.
func TestText(t *testing.T) {
	for _, text := range []string{"héllo 🎉 wörld€", "a\xff", "\xe2\x82", "\xe2\x82\xe2\x82\xac", "\xf0\x9f\x8e", "\xed\xa0\x80", "\xc3", "ok"} {
		for i := range len(text) + 1 {
			for j := i; j <= len(text); j++ {
				var c Text
				got := c.Write([]byte(text[:i])) == "" && c.Write([]byte(text[i:j])) == "" && c.Write([]byte(text[j:])) == "" && c.End() == ""
				if want := strings.ToValidUTF8(text, "") == text; got != want {
					t.Errorf("%q cut at %d and %d: %v", text, i, j, got)
				}
			}
		}
	}
}
