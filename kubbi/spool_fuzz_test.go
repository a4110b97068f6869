package kubbi

import (
	"bytes"
	"encoding/base64"
	"io"
	"os"
	"path/filepath"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"

	"kubbi-mcp/kubbi/api"
)

// FuzzSpooledAnswer has an answer in a file say what it says in memory.
func FuzzSpooledAnswer(f *testing.F) {
	for _, s := range []string{
		`{"content":"a text that is long enough\u00e9\n","content_type":"text/plain","metadata":{"a":1}}`,
		`{"content_type":"application/json","content":{"a":[1,2,"a text that is long enough"],"a":null}}`,
		`{"content":"a long string as JSON","content_type":"application/json","metadata":null}`,
		`{"files":[{"name":"a","content":"aGVsbG8gd29ybGQhIGhlbGxvIQ==","encoding":"base64"},{"content":"a text that is long enough","name":"b","role":"data"}],"content":null}`,
		`{"content":"cut`, `{"files":[]}`, `{"metadata":{"a":"a text that is long enough"},"content":1}`, `{"content":[1,2,3,4,5,6,7,}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		file, err := os.Create(filepath.Join(t.TempDir(), "spool"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		const short = 20 // above that of any type or encoding that has a meaning
		a := &spooledAnswer{file: file, short: short}
		var out Spooled
		err = a.receive(bytes.NewReader(body))
		if err == nil {
			err = a.parts(&out)
		}
		var want api.ClaimResponse
		if wantErr := decode(body, &want); wantErr != nil && err == nil {
			t.Fatalf("%q: understood, though %v", body, wantErr)
		}
		if err != nil {
			return // it may be more strict
		}
		var all [][]byte
		for _, p := range out.Parts {
			r, err := p.Open()
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(r)
			if err != nil || int64(len(b)) != p.Size {
				t.Fatalf("%q: a part of %d bytes gives %d, %v", body, p.Size, len(b), err)
			}
			all = append(all, b)
		}
		if want.Files == nil {
			text := []byte(want.Content)
			var s string
			if want.ContentType != api.TypeJSON && jsonv2.Unmarshal(want.Content, &s) == nil && text[0] == '"' {
				text = []byte(s)
			}
			if len(all) != 1 || !bytes.Equal(all[0], text) {
				t.Fatalf("%q: got %q, want %q", body, all, text)
			}
			return
		}
		if len(all) != len(want.Files) {
			t.Fatalf("%q: %d parts, want %d", body, len(all), len(want.Files))
		}
		for i, f := range want.Files {
			text := []byte(f.Content)
			if f.Encoding != "" {
				if text, err = base64.StdEncoding.DecodeString(f.Content); err != nil {
					t.Fatalf("%q: took base64 that is none", body)
				}
			}
			if !bytes.Equal(all[i], text) {
				t.Fatalf("%q: got %q, want %q", body, all[i], text)
			}
		}
	})
}
