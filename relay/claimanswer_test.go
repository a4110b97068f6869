package relay_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"kubbi-mcp/internal/testkit"
	"kubbi-mcp/kubbi/api"
)

// TestLargeText sends texts with a rune across every border: of sealed chunks, of
// pieces, and of the longest answer that is made whole.
func TestLargeText(t *testing.T) {
	testkit.OnlyPlain(t, "one request at a time")
	r := newRig(t)
	for _, size := range []int{48 << 10, 256 << 10, 1 << 20, 2<<20 + 7} {
		for shift := range 4 {
			text := strings.Repeat("a", shift) + strings.Repeat("😀\"\n", size/6)
			c := r.text(text, "")
			a := r.claim(c.ClaimToken)
			var got struct{ Content string }
			decode(t, a.body, &got)
			if a.status != 200 || got.Content != text {
				t.Fatalf("%d bytes, shifted by %d: %d, %d bytes came back", size, shift, a.status, len(got.Content))
			}
		}
	}
}

// TestJSON sends JSON values that a decoder could change: numbers that no float64 holds,
// and names that occur twice.
func TestJSON(t *testing.T) {
	r := newRig(t)
	odd := `{"n":[1e400,-0,9007199254740993,1.0],"a":1,"a":{"b":2,"b":3}}`
	for _, value := range []string{odd, `{"list":[` + strings.Repeat(`{"n":1.0,"n":1e400,"s":"é\u0000"},`, 100_000) + odd + `]}`} {
		c := r.create(`{"content":` + value + `,"content_type":"application/json","ttl_seconds":60}`)
		var got struct{ Content json.RawMessage }
		decode(t, r.claim(c.ClaimToken).body, &got)
		if string(got.Content) != value {
			t.Errorf("a JSON value of %d bytes came back changed", len(value))
		}
	}
}

// TestLargestContent sends and claims the content that is longest as JSON: six bytes for
// each byte.
func TestLargestContent(t *testing.T) {
	testkit.OnlyPlain(t, "one request at a time")
	r := newRig(t)
	quoted := `"content":"` + strings.Repeat(`\u0000`, int(api.DefaultLimits().ContentBytes)) + `"`
	c := r.create(`{` + quoted + `,"content_type":"text/plain","ttl_seconds":60}`)
	if a := r.claim(c.ClaimToken); a.status != 200 || !bytes.HasPrefix(a.body, []byte(`{`+quoted+`,`)) {
		t.Errorf("the largest content came back changed: %d, %d bytes", a.status, len(a.body))
	}
}

func TestLargePackage(t *testing.T) {
	r := newRig(t)
	random := rand.NewChaCha8([32]byte{1})
	var files []api.FileRequest
	var raw [][]byte
	for i, size := range []int{0, 1, 2<<20 + 1, 3 << 20, 5<<20 + 2, 100} {
		b := make([]byte, size)
		random.Read(b)
		raw = append(raw, b)
		f := api.FileRequest{Name: fmt.Sprintf("f%d", i), ContentType: "a/b", Encoding: api.EncodingBase64, Content: base64.StdEncoding.EncodeToString(b)}
		if i == 5 {
			f = api.FileRequest{Name: "text", ContentType: "text/plain", Content: strings.Repeat("é", 800_000)}
		}
		files = append(files, f)
	}
	body, err := json.Marshal(api.CreateRequest{Files: files, TTLSeconds: 60})
	if err != nil {
		t.Fatal(err)
	}
	c := r.create(string(body))
	a := r.claim(c.ClaimToken)
	var got api.ClaimResponse
	decode(t, a.body, &got)
	if len(got.Files) != len(files) || *got.FileCount != len(files) {
		t.Fatalf("%d files", len(got.Files))
	}
	for i, f := range got.Files {
		if f.Name != files[i].Name || f.Content != files[i].Content || f.Encoding != files[i].Encoding {
			t.Errorf("file %d came back changed", i)
		}
		if i < 5 {
			if b, err := base64.StdEncoding.DecodeString(f.Content); err != nil || !bytes.Equal(b, raw[i]) || f.SizeBytes != int64(len(b)) {
				t.Errorf("file %d: %v", i, err)
			}
		}
	}
}
