package relay

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"kubbi-mcp/internal/spool"
	"kubbi-mcp/kubbi/api"
	"kubbi-mcp/kubbi/api/outline"
	"kubbi-mcp/relay/store"
)

// FuzzLargeBody has a body that is read as a stream come to the same as one
// that is read whole.
func FuzzLargeBody(f *testing.F) {
	long := strings.Repeat(`a\u00e9\ud83d\ude00\n`, 10)
	encoded := strings.Repeat("aGVsbG8g", 10)
	for _, s := range []string{
		`{"content":"` + long + `","content_type":"text/plain","ttl_seconds":60,"max_retrievals":1,"metadata":{"a": 1}}`,
		`{"content":"` + long + `","content_type":"application/json","ttl_seconds":60}`,
		`{"ttl_seconds":86400,"content_type":"application/json","content":{"a":[1,2.5e3,null,"` + long + `"]}}`,
		`{"content":{"a":[1,2.5e3,null,"` + long + `",}],"a":1},"content_type":"application/json","ttl_seconds":86400}`,
		`{"files":[{"name":"a.txt","content":"` + long + `","content_type":"text/plain","role":"data"},{"name":"b","encoding":"base64","content":"` + encoded + `AP8=","content_type":"a/b"}],"ttl_seconds":60}`,
		`{"files":[{"name":"b","encoding":"base64","content":"` + encoded + `A","content_type":"a/b"}],"ttl_seconds":60}`,
		`{"content":null,"files":null,"metadata":{"a":"` + encoded + `"}}`, `{"content":"` + encoded + `\ud800"}`, `{"content":"` + encoded, `"` + encoded + `"`,
		`{"files":[{"name":"` + encoded + `","role":"` + long + `","content_type":"` + long + `","encoding":"` + long + `"}]}`,
		`{"content":"` + encoded + `"}{"content":"` + encoded + `"}`,
	} {
		f.Add([]byte(s))
	}
	limits := limits{Limits: api.DefaultLimits()}
	limits.ContentBytes, limits.PackageBytes, limits.Files, limits.FileNameBytes, limits.MetadataBytes = 150, 200, 3, 16, 16
	const short = 16
	f.Fuzz(func(t *testing.T, body []byte) {
		want, wantErr := validate(bytes.Clone(body), limits)
		sp, err := spool.New(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer sp.Close()
		got, err := validateLarge(iotest.OneByteReader(bytes.NewReader(body)), sp, short, limits)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: got %v, want %v", body, err, wantErr)
		}
		if err != nil {
			a, b := err.(*apiError), wantErr.(*apiError)
			const what = "the request body"
			if strings.HasPrefix(a.message, what) && strings.HasPrefix(b.message, what) {
				return // of several faults of syntax another may be found first
			}
			if a.code != b.code || strings.Join(a.messages, "\n") != strings.Join(b.messages, "\n") {
				t.Fatalf("%q: got %v, want %v", body, a.messages, b.messages)
			}
			return
		}
		if got.contentType != want.contentType || got.size != want.size || got.ttl != want.ttl || got.maxRetrievals != want.maxRetrievals ||
			!bytes.Equal(got.metadata, want.metadata) || len(got.files) != len(want.files) || len(got.parts) != len(want.parts) {
			t.Fatalf("%q: got %+v, want %+v", body, got, want)
		}
		for i, file := range got.files {
			if file != want.files[i] {
				t.Fatalf("%q: file %+v, want %+v", body, file, want.files[i])
			}
		}
		for i, p := range got.parts {
			b := p.bytes
			if p.open != nil {
				if b, err = io.ReadAll(p.open()); err != nil {
					t.Fatalf("%q: part %d: %v", body, i, err)
				}
			}
			if !bytes.Equal(b, want.parts[i].bytes) || p.size != int64(len(b)) {
				t.Fatalf("%q: part %d of %d bytes is %q, want %q", body, i, p.size, b, want.parts[i].bytes)
			}
		}
	})
}

// TestSpoolFails has a disk that takes no spool be no fault of the request.
func TestSpoolFails(t *testing.T) {
	sp, err := spool.New(filepath.Join(t.TempDir(), "missing"))
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Close()
	body := `{"content":"` + strings.Repeat("x", 1<<20) + `","content_type":"text/plain","ttl_seconds":60}`
	if _, err := validateLarge(strings.NewReader(body), sp, outline.Short, limits{Limits: api.DefaultLimits()}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}
