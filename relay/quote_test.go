package relay

import (
	"bytes"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// FuzzAppendQuoted compares with jsontext.AppendQuote.
func FuzzAppendQuoted(f *testing.F) {
	for _, s := range []string{
		"", "plain", strings.Repeat("0123456789abcdef\n", 100), `a"b\c`, "\x00\x1f\x20\x7e\x7f", "é😀\u2028<>&",
		strings.Repeat("abc\t😀\"", 300), strings.Repeat("é", 300), "a\xffb", "abcdefgh\xf0\x9f",
	} {
		f.Add([]byte(s))
		f.Add([]byte("1234567" + s))
	}
	for c := range 256 { // at each place of eight bytes
		f.Add(append(bytes.Repeat([]byte{'x'}, c%8), append([]byte{byte(c)}, "yyyyyyyyyyyyyyyy"...)...))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var scratch []byte
		got, err := appendQuoted([]byte("before"), text, &scratch)
		want, wantErr := jsontext.AppendQuote(nil, text)
		if (err != nil) != (wantErr != nil) {
			t.Fatalf("%q: error %v, want %v", text, err, wantErr)
		}
		if err == nil && string(got) != "before"+string(want[1:len(want)-1]) {
			t.Errorf("%q became %s, want %s", text, got, want)
		}
	})
}
