package kubbi

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"

	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/kubbi/api"
)

// FuzzRawBody: a raw body gives the same in memory and part by part, and only what is in
// it. What is accepted can be written as JSON.
func FuzzRawBody(f *testing.F) {
	for _, s := range []string{
		`{"content_type":"text/plain","content_bytes":6,"metadata":{"a":1}}` + "\nhéllo",
		`{"content_type":"application/json","content_bytes":5,"metadata":null,"burned":true}` + "\n{\"a\" :1}",
		`{"type":"kubbi_package","files":[{"name":"a","content_type":"a/b","size_bytes":2,"encoding":"base64"},{"name":"b","content_type":"a/b","size_bytes":0,"role":"data"}]}` + "\n\xff\x00",
		`{"files":[]}` + "\n", `{"content_bytes":-1}` + "\n", `{"content_bytes":9223372036854775807}` + "\n", `{"content_bytes":1}`, "\n", "[]\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		const limit = 1 << 20
		parts, perr := readRaw(iotest.OneByteReader(bytes.NewReader(body)), limit)
		whole, werr := readRaw(bytes.NewReader(body), limit)
		if (perr == nil) != (werr == nil) {
			t.Fatalf("%q: %v, but %v", body, perr, werr)
		}
		if perr != nil {
			return
		}
		got := parts.Claimed
		var all []byte
		for _, p := range got.Parts {
			r, err := p.Open()
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(r)
			if all = append(all, b...); err != nil {
				return // it was cut
			}
			if int64(len(b)) != p.Size {
				t.Fatalf("%q: a part of %d bytes has %d", body, p.Size, len(b))
			}
		}
		if err := parts.end(); err != nil {
			return
		}
		if !bytes.HasSuffix(body, append([]byte{'\n'}, all...)) {
			t.Fatalf("%q: the parts are %q", body, all)
		}
		answer := &whole.ClaimResponse
		if whole.Load() != nil || whole.end() != nil { // it may be more strict
			return
		}
		if answer.Files == nil && !jsontext.Value(answer.Content).IsValid(jsontext.AllowDuplicateNames(true)) {
			t.Fatalf("%q: the content is %q", body, answer.Content)
		}
		var same []byte
		for i, p := range partsOf(answer) {
			r, _ := p.Open()
			b, _ := io.ReadAll(r)
			if same = append(same, b...); p.Size != got.Parts[i].Size {
				t.Fatalf("%q: a part of %d bytes has %d", body, got.Parts[i].Size, p.Size)
			}
		}
		if answer.ContentType == api.TypeJSON || bytes.Equal(all, same) {
			return
		}
		t.Fatalf("%q: got %q and %q", body, all, same)
	})
}
