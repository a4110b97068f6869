package relay

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"kubbi-mcp/internal/filename"
	"kubbi-mcp/kubbi/api"
)

func TestUnquote(t *testing.T) {
	for _, in := range []string{
		`""`, `"abc"`, `"\n"`, `"a\"b\\c\/d\b\f\n\r\te"`, `"\u0041\u00e9\u20AC\uD83D\uDE00x\ud83d\ude00"`, `"é\u00e9é"`, `"\ufffd\uFFFF\u0000"`, `"\\u0041"`, `"\ue000\udbff\udfff"`,
	} {
		want, err := jsontext.AppendUnquote(nil, in)
		if err != nil {
			t.Fatal(err)
		}
		if got := unquote(jsontext.Value(in)); !bytes.Equal(got, want) {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

// FuzzCreateBody decodes any body, of a create and of a request. It must not panic, quote the body in an error, or
// accept anything above a limit. Strings and base64 must decode as the standard decoders
// decode them.
func FuzzCreateBody(f *testing.F) {
	for _, s := range []string{
		`{"content":"a\u00e9\ud83d\ude00\n","content_type":"text/plain","ttl_seconds":60,"max_retrievals":1,"metadata":{"a": 1}}`,
		`{"content":{"a":[1,2.5e3,null]},"content_type":"application/json","ttl_seconds":86400}`,
		`{"files":[{"name":"a.txt","content":"x\ty","content_type":"text/plain","role":"data"},{"name":"b","content":"AP8=","content_type":"a/b","encoding":"base64"}],"ttl_seconds":60}`,
		`{"content":null,"files":null}`, `{"files":[1,{}],"metadata":[]}`, `{"content":1,"content":2}`, `{"content":"\ud800"}`, `[`, ``, `null`, "{\"\xff\":1}",
		`{"message":"a\u00e9\n","fields":[{"name":"KEY_1","secret":true},{"name":"note","lines":true}],"ttl_seconds":60}`, `{"message":"m","files":true,"ttl_seconds":60}`,
	} {
		f.Add([]byte(s))
	}
	limits := limits{Limits: api.DefaultLimits()}
	limits.ContentBytes, limits.PackageBytes, limits.Files = 100, 200, 3
	f.Fuzz(func(t *testing.T, body []byte) {
		fuzzAsk(t, bytes.Clone(body), limits)
		in := bytes.Clone(body)
		wire, wireErr := decodeCreate(bytes.Clone(body), limits.Files)
		d, err := validate(body, false, limits)
		if err != nil {
			fuzzFaults(t, err)
			return
		}
		if wireErr != nil {
			t.Fatalf("validated what does not decode: %v", wireErr)
		}
		if d.ttl < time.Minute || d.ttl > 24*time.Hour || d.maxRetrievals < 0 || len(d.metadata) > limits.MetadataBytes || len(d.files) > limits.Files {
			t.Fatalf("over a limit: %+v", d)
		}
		var size int64
		for i, p := range d.inMemory {
			size += int64(len(p))
			var raw jsontext.Value
			if d.files == nil {
				raw = wire.content.in(in)
			} else {
				raw = wire.file[i].content.in(in)
			}
			if d.contentType == api.TypeJSON {
				if !bytes.Equal(p, raw) {
					t.Fatalf("JSON content changed: %q", p)
				}
				continue
			}
			want, err := jsontext.AppendUnquote(nil, raw)
			if err != nil {
				t.Fatal(err)
			}
			if d.files != nil && d.files[i].Encoding != "" {
				if want, err = base64.StdEncoding.Strict().DecodeString(string(want)); err != nil {
					t.Fatal(err)
				}
			} else if !utf8.Valid(p) {
				t.Fatalf("text %q is not UTF-8", p)
			}
			if !bytes.Equal(p, want) {
				t.Fatalf("part %d is %q, want %q", i, p, want)
			}
		}
		if size != d.size || d.files == nil && size > limits.ContentBytes || size > limits.PackageBytes {
			t.Fatalf("size %d, said to be %d", size, d.size)
		}
	})
}

func fuzzFaults(t *testing.T, err error) {
	t.Helper()
	e, ok := err.(*apiError)
	if !ok || e.code != api.CodeValidation || len(e.messages) == 0 {
		t.Fatalf("error is %v", err)
	}
	for _, m := range e.messages {
		if !utf8.ValidString(m) || len(m) > 200 {
			t.Fatalf("message %q", m)
		}
	}
}

func fuzzAsk(t *testing.T, body []byte, limits limits) {
	t.Helper()
	d, err := validateAsk(body, limits)
	if err != nil {
		fuzzFaults(t, err)
		return
	}
	n := utf8.RuneCountInString(d.ask.Message)
	if n == 0 || n > api.MaxRequestMessage || !utf8.ValidString(d.ask.Message) || d.ttl < time.Minute || d.ttl > 24*time.Hour ||
		(len(d.ask.Fields) > 0) == d.ask.Files || len(d.ask.Fields) > api.MaxRequestFields {
		t.Fatalf("over a limit: %+v", d.ask)
	}
	seen := map[string]bool{}
	for _, f := range d.ask.Fields {
		if name := strings.ToUpper(f.Name); strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") != "" || name == "" || seen[name] {
			t.Fatalf("field %q", f.Name)
		} else {
			seen[name] = true
		}
	}
}

// TestMaxJSONBody checks that every content within the limits fits.
func TestMaxJSONBody(t *testing.T) {
	l := api.DefaultLimits()
	body := int64(len(`{"content":"","content_type":"text/markdown","ttl_seconds":86400,"max_retrievals":2147483647,"metadata":}`))
	if got := maxJSONBody(l); got < 6*l.ContentBytes+6*int64(l.MetadataBytes)+body || got < l.PackageBytes/3*4+int64(l.Files)*int64(len(strings.Repeat("x", filename.MaxBytes))+400) {
		t.Errorf("a body may be %d bytes", got)
	}
}
