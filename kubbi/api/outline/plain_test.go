package outline

import (
	"bytes"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// TestPlain puts every byte in every place: what is plain is what a JSON string
// holds as it is.
func TestPlain(t *testing.T) {
	for length := range 20 {
		for at := range length {
			for c := range 256 {
				p := bytes.Repeat([]byte("a"), length)
				p[at] = byte(c)
				quoted, err := jsontext.AppendQuote(nil, p)
				want := err == nil && c < 0x80 && len(quoted) == length+2
				if got := Plain(p); got != want {
					t.Fatalf("byte %#x at %d of %d: %v, want %v", c, at, length, got, want)
				}
			}
		}
	}
	if !Plain(nil) {
		t.Error("nothing is not plain")
	}
}
